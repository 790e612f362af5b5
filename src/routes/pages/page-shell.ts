/** The policy of every page: what this server sends, and nothing that stands in the page itself. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** One page. All of it is our own text: nothing of a request stands in it. */
export function pageShell(page: {
  title: string
  script?: string
  wide?: boolean
  data?: string
  body: string
}): string {
  const script = page.script === undefined ? '' : `\n<script type="module" src="/auth/${page.script}"></script>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${page.title} · Fluxgate</title>
<link rel="stylesheet" href="/auth/pages.css">${script}
</head>
<body>
<main${page.wide ? ' class="wide"' : ''}${page.data ?? ''}>
<p class="brand">Fluxgate</p>
${page.body}
<noscript><p class="status bad">This page needs JavaScript.</p></noscript>
</main>
</body>
</html>
`
}

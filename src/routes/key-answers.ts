import type { Actor } from '#domain/audit-trail.ts'
import { type ApiKey, KEYS_PAGE_MAX, type Keys, OVERLAP_SECONDS } from '#domain/keys.ts'
import type { Scope } from '#domain/scopes.ts'
import { keyView } from '#domain/views.ts'

// What the operator's routes for keys and those of a project have in common.

export async function listKeys(keys: Keys, projectId: string, query: { after?: string; limit?: number }) {
  const { after, limit = KEYS_PAGE_MAX } = query
  const page = await keys.list(projectId, { ...(after !== undefined && { after }), limit })
  return {
    object: 'list' as const,
    data: page.keys.map(keyView),
    has_more: page.hasMore,
    next_after: page.keys.at(-1)?.id ?? null,
  }
}

export async function createKey(
  keys: Keys,
  projectId: string,
  body: { name: string; expires_at?: string; scopes?: Scope[] },
  by: Actor,
) {
  const { name, expires_at, scopes } = body
  const { key, secret } = await keys.create({
    projectId,
    name,
    ...(expires_at !== undefined && { expiresAt: new Date(expires_at) }),
    ...(scopes !== undefined && { scopes }),
    by,
  })
  return { ...keyView(key), secret }
}

/** `projectId` restricts it to the keys of that project. */
export async function rotateKey(
  keys: Keys,
  id: string,
  body: { overlap_seconds?: number; expires_at?: string | null },
  by: Actor,
  projectId?: string,
) {
  const { overlap_seconds = OVERLAP_SECONDS.default, expires_at } = body
  const { key, secret, replaced } = await keys.rotate(id, {
    ...(projectId !== undefined && { projectId }),
    overlapSeconds: overlap_seconds,
    by,
    ...(expires_at !== undefined && { expiresAt: expires_at === null ? null : new Date(expires_at) }),
  })
  return rotatedView({ key, secret, replaced })
}

function rotatedView({ key, secret, replaced }: { key: ApiKey; secret: string; replaced: ApiKey }) {
  return { ...keyView(key), secret, replaced: keyView(replaced) }
}

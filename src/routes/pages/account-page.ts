import { pageShell } from './page-shell.ts'

/** What people do with their own account; account.js fills it in. */
export const accountPage = pageShell({
  title: 'Your account',
  script: 'account.js',
  wide: true,
  body: `<p id="status" class="status" role="status" aria-live="polite"></p>
<div id="account" hidden>
<header>
<div><h1 id="name"></h1><p id="email" class="hint"></p></div>
<button id="sign-out" type="button" class="quiet">Sign out</button>
</header>
<section id="invitations" aria-labelledby="invitations-title" hidden>
<h2 id="invitations-title">Invitations</h2>
<ul id="invitation-list" class="packages"></ul>
</section>
<section id="balance" aria-labelledby="balance-title" hidden>
<h2 id="balance-title">Balance</h2>
<p id="balance-amount" class="amount"></p>
<p id="expiry" class="hint"></p>
<p id="frozen" class="status bad" hidden>Your balance is frozen: calls are refused. Ask the operator.</p>
</section>
<section id="buy" aria-labelledby="buy-title" hidden>
<h2 id="buy-title">Buy Flux</h2>
<ul id="packages" class="packages"></ul>
<div class="row">
<label>Currency<select id="currency"></select></label>
<button id="portal" type="button" class="quiet">Payments and invoices</button>
</div>
</section>
<section id="keys" aria-labelledby="keys-title" hidden>
<h2 id="keys-title">Keys</h2>
<p class="hint">Programs call models with a key, at your expense.</p>
<div id="made" role="status" hidden><p>Your new key, shown this once: <code id="secret"></code></p></div>
<div class="scroll"><table>
<thead><tr><th scope="col">Name</th><th scope="col">Ends in</th><th scope="col">Last used</th><th scope="col" class="number">Action</th></tr></thead>
<tbody id="key-list"></tbody>
</table></div>
<p id="no-keys" class="hint" hidden>You have no keys.</p>
<form id="new-key" class="row">
<label>Name of a new key<input name="name" required maxlength="100" autocomplete="off"></label>
<button type="submit">Create key</button>
</form>
</section>
<section id="history" aria-labelledby="history-title" hidden>
<h2 id="history-title">History</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Description</th><th scope="col" class="number">Flux</th></tr></thead>
<tbody id="records"></tbody>
</table></div>
<p id="no-history" class="hint" hidden>Nothing has happened yet.</p>
<button id="more" type="button" class="quiet" hidden>Show more</button>
</section>
<section aria-labelledby="delete-title">
<h2 id="delete-title">Delete the account</h2>
<p class="hint">Your keys stop working, your personal data is erased, subscriptions are cancelled. What is left of your balance is lost. A mail asks you to confirm.</p>
<button id="delete" type="button" class="danger">Delete my account</button>
</section>
</div>`,
})

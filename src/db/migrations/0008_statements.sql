-- Daily statements of wallets, and why a receipt key was revoked. Adds indexes and a column: the previous release keeps working.

-- Grants, refunds and expiries of a day: few beside the charges, and read without them.
create index transfer_moved on transfer (at) where code not in (10, 20);
create index usage_series_wallet on usage_series (wallet_id);
create index signed_document_statement on signed_document (period) where kind = 'statement';
create unique index signed_document_keys on signed_document (period) where kind = 'keys'; -- their sequence: one of each

alter table receipt_key add column revoked_reason text check (length(revoked_reason) between 1 and 500);

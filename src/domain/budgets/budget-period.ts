/** When the period of now ends, as SQL over a row of `budget`; null for a budget without one. */
export function budgetPeriodEnd(row: string): string {
  return `case when ${row}.period <> 'total' then
    (date_trunc(${row}.period, now() at time zone ${row}.time_zone) + ('1 ' || ${row}.period)::interval) at time zone ${row}.time_zone end`
}

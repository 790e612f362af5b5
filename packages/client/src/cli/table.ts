/** Columns of equal width, numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => printable(String(cell))))
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const isNumber = (rows[1] ?? []).map((cell) => typeof cell === 'number')
  return cells
    .map((row) => {
      const padded = row.map((cell, column) =>
        isNumber[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      return `${padded.join('  ').trimEnd()}\n`
    })
    .join('')
}

/** Whatever somebody put into a label, it cannot steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, '?')
}

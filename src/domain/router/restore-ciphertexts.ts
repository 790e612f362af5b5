import type { keyPlacesOfConfig } from '#domain/credentials-in-config.ts'
import type { ConfigProblem } from './router-document.ts'

type KeyPlace = ReturnType<typeof keyPlacesOfConfig>[number]

/**
 * Puts the stored ciphertext where a placeholder `<ciphertext: N chars>` stands, so that what was shown redacted can be edited
 * and written back. A key is known by its model and id. Changes the places; returns those that nothing is stored for.
 */
export function restoreCiphertexts(places: readonly KeyPlace[], stored: readonly KeyPlace[]): ConfigProblem[] {
  const known = new Map<string, Set<string>>()
  for (const { modelName, entry } of stored) {
    if (typeof entry.ciphertext !== 'string') continue
    const name = `${modelName}|${entry.id}`
    known.set(name, (known.get(name) ?? new Set()).add(entry.ciphertext))
  }
  return places.flatMap(({ path, modelName, entry }) => {
    const chars = placeholderChars(entry.ciphertext)
    if (chars === undefined) return []
    const there = [...(known.get(`${modelName}|${entry.id}`) ?? [])]
    // One key may be sealed more than once: then the length must tell which envelope was shown.
    const meant = there.length === 1 ? there : there.filter((envelope) => envelope.length === chars)
    const [envelope] = meant
    if (envelope !== undefined && meant.length === 1) {
      entry.ciphertext = envelope
      return []
    }
    const message =
      there.length === 0
        ? 'stands for a stored key, and none with this id is stored for this model'
        : 'could stand for several stored keys: give the ciphertext'
    return [{ path: `${path}.ciphertext`, message }]
  })
}

function placeholderChars(ciphertext: unknown): number | undefined {
  const digits = typeof ciphertext === 'string' ? /^<ciphertext: (\d{1,6}) chars>$/.exec(ciphertext)?.[1] : undefined
  return digits === undefined ? undefined : Number(digits)
}

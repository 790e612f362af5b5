/** What a project keeps of what is said: nothing, who spoke and how much, or everything. */
export const contentLevels = ['none', 'metadata', 'full'] as const
export type ContentLevel = (typeof contentLevels)[number]

/** A client can ask for less than its project keeps, never for more. */
export function lowerLevel(project: ContentLevel, asked: ContentLevel): ContentLevel {
  return contentLevels.indexOf(asked) < contentLevels.indexOf(project) ? asked : project
}

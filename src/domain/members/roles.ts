import type { Scope } from '#domain/scopes.ts'

/** What a person may do in a shared project; each role may all that the ones after it may. */
export const projectRoles = ['owner', 'editor', 'viewer'] as const

export type ProjectRole = (typeof projectRoles)[number]

export function isAtLeast(role: ProjectRole, least: ProjectRole): boolean {
  return projectRoles.indexOf(role) <= projectRoles.indexOf(least)
}

/** What a signed-in member may do where a key of the project would do. Nobody calls models or reports usage without a key. */
export const scopesOfRole: Readonly<Record<ProjectRole, readonly Scope[]>> = {
  owner: ['read', 'admin'],
  editor: ['read', 'admin'],
  viewer: ['read'],
}

// Puts modules of the tree into one script for browsers. Their types are blanked out; imports and exports become plain
// constants. It knows the few forms that this tree uses and refuses every other.

import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

interface Module {
  path: string
  code: string
}

/** One script that runs the module at `entry`, a path below the folder `source`. */
export function bundle(source: string, entry: string): string {
  const ordered: Module[] = []
  const state = new Map<string, 'open' | 'done'>()
  const visit = (path: string): void => {
    if (state.get(path) === 'done') return
    if (state.has(path)) throw new Error(`${path} imports itself in a circle`)
    state.set(path, 'open')
    const text = readFileSync(join(source, path), 'utf8')
    const code = path.endsWith('.ts') ? stripTypeScriptTypes(text) : text
    const { body, imports } = rewrite(code, path)
    for (const imported of imports) visit(imported)
    state.set(path, 'done')
    ordered.push({ path, code: body })
  }
  visit(entry)
  const parts = ordered.map(({ path, code }) => `modules[${JSON.stringify(path)}] = (() => {\n${code}\n})()`)
  return `'use strict'\nconst modules = {}\n${parts.join('\n')}\n`
}

function rewrite(code: string, path: string): { body: string; imports: string[] } {
  const imports: string[] = []
  const names: string[] = []
  const body = code
    .replaceAll(/^import\s*\{([^}]*)\}\s*from\s*'([^']+)'/gm, (_, list: string, specifier: string) => {
      const target = resolve(specifier, path)
      imports.push(target)
      const bound = list.replaceAll(/\s+/g, ' ').trim().replaceAll(' as ', ': ')
      return `const { ${tidyCommas(bound)} } = modules[${JSON.stringify(target)}]`
    })
    .replaceAll(/^export ((?:async )?function\*?|const|class) (\w+)/gm, (_, form: string, name: string) => {
      names.push(name)
      return `${form} ${name}`
    })
  const left = /^(?:import|export)\b.*/m.exec(body.replaceAll(/^export\s*$/gm, ''))
  if (left !== null) throw new Error(`${path}: this form is not known here: ${left[0]}`)
  const lines = body.split('\n').map((line) => line.trimEnd())
  const compact = lines.filter((line) => line !== '' && !/^\s*(?:\/\/|\/\*\*|\*)/.test(line)).join('\n')
  return { body: `${compact}\nreturn { ${names.join(', ')} }`, imports }
}

/** A type that was blanked out leaves its comma behind. */
function tidyCommas(list: string): string {
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .join(', ')
}

function resolve(specifier: string, from: string): string {
  return specifier.startsWith('#') ? specifier.slice(1) : join(dirname(from), specifier)
}

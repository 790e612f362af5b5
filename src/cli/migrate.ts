import { migrate, readMigrations } from '#db/migrate.ts'
import { type CliDeps, readArgs } from './command.ts'
import { printJson } from './print.ts'

export const summary = 'Bring the database to the schema of this release.'
export const usage = 'usage: fluxgate migrate [--json]'

export async function run(deps: CliDeps, args: string[]): Promise<number> {
  const { values } = readArgs(args, {})
  const database = await deps.openDatabase()
  try {
    const { applied } = await migrate(database.db, await readMigrations())
    if (values.json) printJson(deps.out, { applied })
    else deps.out.write(applied.length === 0 ? 'nothing to do\n' : applied.map((name) => `applied ${name}\n`).join(''))
    return 0
  } finally {
    await database.close()
  }
}

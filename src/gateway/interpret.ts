import type { IncomingMessage } from 'node:http'
import { AppError } from '#src/errors.ts'
import type { Loss } from '#wire/neutral.ts'
import type { Protocol } from '#wire/protocol.ts'
import type { TextRequest } from '#wire/text-request.ts'
import type { Exchange } from './call.ts'
import { createInterpreter, type Interpreter } from './interpreter.ts'
import type { Route } from './routes.ts'
import type { Target } from './target.ts'

const DROPPED_MAX = 20

/**
 * An interpreter for each protocol that the targets of a route speak; what of the request they are not told is noted. Targets
 * that the request cannot be put to are left out; when none remains, the caller is told what cannot be carried. Throws
 * AppError unsupported_parameter.
 */
export function interpret(
  request: TextRequest,
  route: Route,
  exchange: Exchange,
  strict: boolean,
): { route: Route; interpreters: ReadonlyMap<Protocol, Interpreter> } {
  const { interpreters, refused } = interpretersFor(request, route.targets, exchange.id, strict)
  const targets = servedBy(interpreters, refused, route.targets)
  const dropped = [...interpreters.values()].flatMap(({ losses }) => losses.map(({ path }) => path))
  exchange.dropped = [...new Set(dropped)].slice(0, DROPPED_MAX)
  return {
    route: refused.size === 0 ? route : { ...route, targets },
    interpreters,
  }
}

/** An interpreter for each protocol, or what of the request it cannot carry. */
export function interpretersFor(
  request: TextRequest,
  targets: readonly Target[],
  id: string,
  strict: boolean,
): { interpreters: ReadonlyMap<Protocol, Interpreter>; refused: ReadonlyMap<Protocol, Loss> } {
  const options = { id, created: Math.floor(Date.now() / 1000) }
  const interpreters = new Map<Protocol, Interpreter>()
  const refused = new Map<Protocol, Loss>()
  for (const target of targets) {
    const { protocol } = target
    if (interpreters.has(protocol) || refused.has(protocol)) continue
    const interpreter = createInterpreter(request, target, options)
    const loss = interpreter.losses.find(({ essential }) => essential || strict)
    if (loss === undefined) interpreters.set(protocol, interpreter)
    else refused.set(protocol, loss)
  }
  return { interpreters, refused }
}

/** Those that the request can be put to. Throws AppError unsupported_parameter when there is none. */
export function servedBy(
  interpreters: ReadonlyMap<Protocol, Interpreter>,
  refused: ReadonlyMap<Protocol, Loss>,
  targets: readonly Target[],
): [Target, ...Target[]] {
  const [first, ...rest] = targets.filter(({ protocol }) => interpreters.has(protocol))
  if (first === undefined) throw unsupported(refused)
  return [first, ...rest]
}

/** Whether the caller would rather have an error than an answer to less than was asked. */
export function isStrict(req: IncomingMessage): boolean {
  const value = req.headers['x-fluxgate-translation']
  if (value === undefined || value === 'lax') return false
  if (value === 'strict') return true
  throw new AppError('label_invalid', {
    message: 'The header x-fluxgate-translation is neither lax nor strict.',
    param: 'x-fluxgate-translation',
  })
}

function unsupported(refused: ReadonlyMap<Protocol, Loss>): AppError {
  const [loss] = refused.values()
  return new AppError('unsupported_parameter', {
    message: `No upstream of this model can be asked for this: '${loss?.path ?? ''}' ${loss?.message ?? 'is not supported'}.`,
    ...(loss && { param: loss.path }),
  })
}

import type { ImportContext } from './import-phase.ts'
import type { LlmringShape } from './llmring-shape.ts'

export type LlmringContext = ImportContext<LlmringShape>

import { modelNames } from './models.ts'

const CREATED = 1_767_225_600

/** The body of `GET /v1/models`, as the one or the other vendor writes it. */
export function listModels(asAnthropic: boolean): string {
  return asAnthropic ? anthropicList : openaiList
}

const openaiList = JSON.stringify({
  object: 'list',
  data: modelNames.map((id) => ({ id, object: 'model', created: CREATED, owned_by: 'fluxgate-simulator' })),
})

const anthropicList = JSON.stringify({
  data: modelNames.map((id) => ({
    type: 'model',
    id,
    display_name: `Simulator ${id}`,
    created_at: new Date(CREATED * 1000).toISOString(),
  })),
  has_more: false,
  first_id: modelNames[0],
  last_id: modelNames.at(-1),
})

import type { WrittenState } from './stored-state.ts'

/** AIRI's channel, on Redis: its messages are hints, and whoever misses one hears of the write in another way. */
export const INVALIDATION_CHANNEL = 'configkv:invalidate'

const MESSAGE_CHARS_MAX = 4_096

/** What is published after a write. `publishedAt` is Unix milliseconds. */
export function encodeInvalidation(written: WrittenState, publishedAt: number): string {
  return JSON.stringify({ key: 'LLM_ROUTER_CONFIG', version: written.config, publishedAt })
}

/** Whether a message can mean that something was written. Its version is not trusted: any process may publish. */
export function isInvalidation(text: string): boolean {
  if (text.length > MESSAGE_CHARS_MAX) return false
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'key' in value && typeof value.key === 'string'
  } catch {
    return false
  }
}

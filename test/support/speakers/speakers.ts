import type { TextProtocol } from '#wire/neutral.ts'
import { chat } from './chat.ts'
import { messages } from './messages.ts'
import { responses } from './responses.ts'
import type { Speaker } from './speaker.ts'

export const speakers: Readonly<Record<TextProtocol, Speaker>> = { chat, responses, messages }

import { azureSpeech } from './speech-azure.ts'
import { cosyvoiceSpeech } from './speech-cosyvoice.ts'
import { elevenlabsSpeech } from './speech-elevenlabs.ts'
import type { SpeechFormat } from './speech-format.ts'
import { openaiSpeech } from './speech-openai.ts'
import { stepfunSpeech } from './speech-stepfun.ts'
import { volcengineSpeech } from './speech-volcengine.ts'

/** Every vendor whose speech we can ask for, by the name that a router config gives its adapter. */
export const speechFormats: ReadonlyMap<string, SpeechFormat> = new Map(
  [azureSpeech, cosyvoiceSpeech, volcengineSpeech, stepfunSpeech, elevenlabsSpeech, openaiSpeech].map((format) => [
    format.id,
    format,
  ]),
)

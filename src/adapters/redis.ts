import { createClient } from '@redis/client'

const CONNECT_MS_MAX = 5_000
const RECONNECT_MS = { first: 100, max: 5_000 }
const PING_MS = 5_000

export interface RedisChannelOptions {
  /** `redis://` or `rediss://`. */
  url: string
  channel: string
  /** A connection broke, or a message could not be sent. Connections are made again until close(). */
  onError: (error: Error) => void
}

/**
 * One Pub/Sub channel of a Redis or Valkey server. Nothing here is truth and nothing waits for it: while the server is away
 * messages are lost, which onError hears of.
 */
export function createRedisChannel(options: RedisChannelOptions) {
  const { channel, onError } = options

  function open() {
    const client = createClient({
      url: options.url,
      pingInterval: PING_MS,
      disableOfflineQueue: true,
      socket: {
        connectTimeout: CONNECT_MS_MAX,
        reconnectStrategy: (tries) => Math.min(RECONNECT_MS.first * 2 ** Math.min(tries, 10), RECONNECT_MS.max),
      },
    })
    client.on('error', onError)
    return client
  }

  const publisher = open()
  publisher.connect().catch(onError)

  return {
    /** Hears the channel until closed. `onListening` is called whenever hearing begins: earlier messages may be lost. */
    subscribe(handlers: { onMessage: (text: string) => void; onListening: () => void }): { close(): Promise<void> } {
      const client = open()
      let subscribed = false
      client.on('ready', () => {
        // The client subscribes again by itself, before it says that it is ready.
        if (subscribed) return handlers.onListening()
        client.subscribe(channel, handlers.onMessage).then(() => {
          subscribed = true
          handlers.onListening()
        }, onError)
      })
      client.connect().catch(onError)
      return { close: async () => end(client) }
    },

    /** Sends now or not at all. */
    publish(text: string): void {
      publisher.publish(channel, text).catch(onError)
    },

    async close(): Promise<void> {
      end(publisher)
    },
  }
}

/** A client that was never open refuses to be closed. */
function end(client: { isOpen: boolean; destroy(): void }): void {
  if (client.isOpen) client.destroy()
}

import type { Db } from '#db/pool.ts'

/** What a source was last known to publish of a provider. */
export interface StoredFile {
  provider: string
  /** Undefined before the first good answer. */
  content: string | undefined
  etag: string | undefined
  /** The last good answer, in seconds ago; undefined before the first. */
  ageSeconds: number | undefined
}

/** Keeps the last good files of a source, for all gateways of the database and across restarts. */
export function createPublishedStore({ db, source }: { db: Db; source: string }) {
  return {
    /** True for the one gateway that is to ask now: nobody has asked for `everySeconds`. */
    async claim(provider: string, everySeconds: number): Promise<boolean> {
      const { rows } = await db.query(
        `insert into registry_published as p (source, provider, asked_at) values ($1, $2, clock_timestamp())
         on conflict (source, provider) do update set asked_at = excluded.asked_at
           where p.asked_at <= clock_timestamp() - make_interval(secs => $3)
         returning 1`,
        [source, provider, everySeconds],
      )
      return rows.length > 0
    },

    /** Without a content: it is as it was. */
    async succeed(provider: string, answer?: { content: string; etag: string | undefined }): Promise<void> {
      await db.query(
        `update registry_published set answered_at = clock_timestamp(),
           content = coalesce($3, content), etag = case when $3::text is null then etag else $4 end
         where source = $1 and provider = $2`,
        [source, provider, answer?.content ?? null, answer?.etag ?? null],
      )
    },

    /** Somebody is to ask again in `againSeconds`, sooner than after a good answer. */
    async fail(provider: string, everySeconds: number, againSeconds: number): Promise<void> {
      await db.query(
        `update registry_published set asked_at = clock_timestamp() - make_interval(secs => $3)
         where source = $1 and provider = $2`,
        [source, provider, Math.max(0, everySeconds - againSeconds)],
      )
    },

    async load(): Promise<StoredFile[]> {
      const { rows } = await db.query<{ provider: string; content: string; etag: string; ageSeconds: number | null }>(
        `select provider, content, etag,
           extract(epoch from clock_timestamp() - answered_at)::float8 as "ageSeconds"
         from registry_published where source = $1 order by provider`,
        [source],
      )
      return rows.map(({ provider, content, etag, ageSeconds }) => ({
        provider,
        content: content ?? undefined,
        etag: etag ?? undefined,
        ageSeconds: ageSeconds ?? undefined,
      }))
    },
  }
}

export type PublishedStore = ReturnType<typeof createPublishedStore>

// Counters and histograms for the hot path: plain numbers under one or two labels, shown to the registry when it is read.
// prom-client checks, sorts and joins the labels at every count, which took longer than all else that a count does.

import type { Counter, Histogram, Registry } from 'prom-client'

type LabelValue = string | number
type Labels<Name extends string> = Readonly<Record<Name, LabelValue>>

interface Description<Name extends string> {
  name: string
  help: string
  labelNames: readonly [Name] | readonly [Name, Name]
}

/** A prom-client counter that counts faster. Throws RangeError for what is no amount. */
export function createCounter<Name extends string>(registry: Registry, description: Description<Name>) {
  const { name, help, labelNames } = description
  const series = createSeries(labelNames, () => ({ value: 0 }))
  const metric = {
    name,
    help,
    type: 'counter' as const,
    aggregator: 'sum' as const,
    get: async () => ({
      ...metric,
      values: series.all().map(({ labels, of }) => ({ labels, value: of.value })),
    }),
    reset: series.clear,
  }
  // All that a registry asks of a metric.
  registry.registerMetric(metric as unknown as Counter<Name>)
  return {
    inc(labels: Labels<Name>, by = 1): void {
      if (!(by >= 0 && by < Number.POSITIVE_INFINITY)) throw new RangeError(`${name} only grows, by a finite amount`)
      series.of(labels).value += by
    },
  }
}

/** A prom-client histogram that counts faster. Throws RangeError for what is no number. */
export function createHistogram<Name extends string>(
  registry: Registry,
  description: Description<Name> & { buckets: readonly number[] },
) {
  const { name, help, labelNames, buckets } = description
  const series = createSeries(labelNames, () => ({ within: buckets.map(() => 0), sum: 0, count: 0 }))

  function valuesOf(labels: Labels<Name>, { within, sum, count }: { within: number[]; sum: number; count: number }) {
    let below = 0
    const metricName = `${name}_bucket`
    const bounded = buckets.map((le, index) => {
      below += within[index] ?? 0
      return { metricName, labels: { le, ...labels }, value: below }
    })
    return [
      ...bounded,
      { metricName, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ]
  }

  const metric = {
    name,
    help,
    type: 'histogram' as const,
    aggregator: 'sum' as const,
    get: async () => ({ ...metric, values: series.all().flatMap(({ labels, of }) => valuesOf(labels, of)) }),
    reset: series.clear,
  }
  registry.registerMetric(metric as unknown as Histogram<Name>)
  return {
    observe(labels: Labels<Name>, value: number): void {
      if (!Number.isFinite(value)) throw new RangeError(`${name} observes numbers`)
      const found = series.of(labels)
      found.sum += value
      found.count += 1
      for (let index = 0; index < buckets.length; index += 1) {
        if (value > (buckets[index] ?? 0)) continue
        found.within[index] = (found.within[index] ?? 0) + 1
        return
      }
    },
  }
}

/** What is kept for each combination of labels, in the order of their first use. */
function createSeries<Name extends string, T>(names: Description<Name>['labelNames'], create: () => T) {
  const [first, second] = names
  const known = new Map<LabelValue, Map<LabelValue, T>>()
  const list: { labels: Labels<Name>; of: T }[] = []

  /** The number 200 and the text '200' are one label: whoever counts second finds what the first has made. */
  function add(labels: Labels<Name>, inner: Map<LabelValue, T>, key: LabelValue): T {
    const same = list.find((other) => names.every((name) => String(other.labels[name]) === String(labels[name])))
    const of = same?.of ?? create()
    inner.set(key, of)
    if (same === undefined) list.push({ labels: { ...labels }, of })
    return of
  }

  return {
    of(labels: Labels<Name>): T {
      let inner = known.get(labels[first])
      if (inner === undefined) {
        inner = new Map()
        known.set(labels[first], inner)
      }
      const key = second === undefined ? '' : labels[second]
      return inner.get(key) ?? add(labels, inner, key)
    },
    all: (): readonly { labels: Labels<Name>; of: T }[] => list,
    clear(): void {
      known.clear()
      list.length = 0
    },
  }
}

// Loaded into a server with --import: the signal SIGUSR2 starts a CPU profile, the next one ends it and writes it to
// BENCH_PROFILE-1.cpuprofile, then -2 and so on. So a profile holds measured windows only, not the start.
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'

const SAMPLE_US = 500

const path = process.env.BENCH_PROFILE ?? 'profile'
const session = new Session()
let number = 0
let running = false

process.on('SIGUSR2', () => {
  if (!running) {
    running = true
    session.connect()
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
    session.post('Profiler.start')
    return
  }
  running = false
  number += 1
  session.post('Profiler.stop', (error, result) => {
    if (error !== null) process.stderr.write(`bench: no profile: ${error.message}\n`)
    else writeFileSync(`${path}-${number}.cpuprofile`, JSON.stringify(result.profile))
    session.disconnect()
  })
})

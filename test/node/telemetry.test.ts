import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { Gauges } from '../../node/telemetry/gauges.ts'

const MIB = 2 ** 20

test('memory is that of a running process', t => {
  const { rssBytes, peakRssBytes } = new Gauges().sample()
  t.true(rssBytes > 20 * MIB && rssBytes < 4096 * MIB, String(rssBytes))
  t.true(peakRssBytes >= rssBytes)
})

test('the peak outlives what caused it', t => {
  const gauges = new Gauges()
  const { rssBytes: before } = gauges.sample()
  let ballast: Uint8Array | undefined = new Uint8Array(64 * MIB).fill(1)
  t.is(ballast[0], 1)
  ballast = undefined
  t.true(gauges.sample().peakRssBytes >= before + 32 * MIB)
})

test.serial('a loop that only waits has caused no delay', async t => {
  const gauges = new Gauges()
  gauges.start()
  t.teardown(() => { gauges.stop() })
  await sleep(300)
  t.true(gauges.sample().loopBusyP99Ms < 10)
  gauges.keep()
  const kept = gauges.sample().loopLagMaxMs
  const end = performance.now() + kept + 50
  while (performance.now() < end);
  await sleep(30)
  t.is(gauges.sample().loopLagMaxMs, kept)
})

test('gauges that were not started say 0', t => {
  const { loopLagP99Ms, loopLagMaxMs } = new Gauges().sample()
  t.deepEqual([loopLagP99Ms, loopLagMaxMs], [0, 0])
})

test.serial('a blocked loop shows, until the window begins anew', async t => {
  const gauges = new Gauges()
  gauges.start()
  t.teardown(() => { gauges.stop() })
  await sleep(90)
  const end = performance.now() + 100
  while (performance.now() < end);
  await sleep(90)
  const blocked = gauges.sample()
  t.true(blocked.loopLagMaxMs >= 55, String(blocked.loopLagMaxMs)) // a wake-up was due at most 40 ms into it
  t.is(blocked.loopLagP99Ms, blocked.loopLagMaxMs) // one of a few
  t.true(blocked.loopBusyP99Ms > 20 && blocked.loopBusyP99Ms <= blocked.loopLagMaxMs + 10, String(blocked.loopBusyP99Ms)) // how much of it was given to us is the machine's affair
  gauges.reset()
  t.is(gauges.sample().loopLagMaxMs, 0)
})

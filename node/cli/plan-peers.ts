/** What taking part costs a site where sites trade models: no steps through a host, only cards and the models that are pulled. */
import { bytes, count, list, plural, wrap } from './format.ts'
import { MAX_WIDTH } from './plan-report.ts'
import { architecturesOf, publicationSteps } from '../../src/bench/spec.ts'
import { modelFloats } from '../../src/planning/index.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { Charter } from '../../src/federation/charter.ts'

/** A card travels as gossip; what it names is pulled by who wants it. */
const CARD_BYTES = 1024
const FLOAT_BYTES = 4

/** @param init.sites - that will trade models, this one included */
export function printPeerPlan (charter: Charter, bench: BenchSpec, init: { tasks: readonly string[], sites: number, format: 'text' | 'json' }): void {
  const { sites, tasks, format } = init
  const models = architecturesOf(bench, charter.model, charter.input).map(({ id, model }) => {
    const { trunk, parts } = modelFloats({ ...charter, model }, tasks)
    const parameters = trunk + Object.values(parts).reduce((sum, floats) => sum + floats, 0)
    return { arch: id, parameters, bytes: FLOAT_BYTES * parameters }
  })
  const versions = publicationSteps(bench, charter.training).length
  const own = models.reduce((sum, model) => sum + model.bytes, 0)
  const others = sites - 1
  const perVersion = { cards: models.length * CARD_BYTES, up: others * own, down: others * own }
  if (format === 'json') {
    process.stdout.write(`${JSON.stringify({ type: 'summary', charter: charter.name, kind: 'peer', sites, models, versions, cap: bench.cap, perVersion, run: { up: versions * perVersion.up, down: versions * perVersion.down } })}\n`)
    return
  }
  const line = `a site sends cards and weights, no activations and no gradients, and needs no host: ${plural(models.length, 'model')} of ${list(models.map(({ parameters }) => count(parameters)))} weights, ` +
    `${list(models.map(model => bytes(model.bytes)))} per pull, ${versions === 1 ? 'once' : `${versions} times`}; ` +
    `among ${plural(sites, 'site')} that is at most ${bytes(perVersion.up)} up and ${bytes(perVersion.down)} down each time, with cards of ${bytes(CARD_BYTES)} at most, and ${plural(bench.cap, 'model')} are kept`
  process.stdout.write(`${wrap(line, Math.min(process.stdout.columns ?? MAX_WIDTH, MAX_WIDTH), '  ').join('\n')}\n`)
}

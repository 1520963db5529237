/** Every strategy that is registered against what all of them must do: ../compliance/strategies.ts. */
import { backendOn } from '../helpers/rungs.ts'
import { strategies } from '../../src/strategies/index.ts'
import { strategyCompliance } from '../compliance/strategies.ts'
import type { StrategyHooks } from '../compliance/strategies.ts'

/** What a strategy's own rule adds to plain descent, to be taken off; a runner of its own where it needs one. */
const HOOKS: Readonly<Record<string, StrategyHooks>> = {
  fedprox: { plain: { proximal: 0 } },
  ditto: { plain: { pull: 0 } },
  fesem: { method: { centres: 2 } },
  'split-mix': { plain: false }, // several narrow models in place of one
  'split-mix-robust': { plain: false, method: { attackSteps: 2 } },
  fedamp: { plain: { pull: 0 } },
  fedlinear: { plain: false, clock: { rounds: 4, stepsPerRound: 1 }, seedless: true }, // convex, from 0, over all rows: test/federation/fedlinear.test.ts has its central fit
  tap: { plain: false, method: { tuneSteps: 2 } }, // modules of other forms, and steps after the last one
  pfedme: { plain: false } // the site follows its personal model: without a pull it never moves
}

const backend = await backendOn('wasm')

for (const strategy of strategies) {
  // A strategy that exchanges nothing has nothing to comply with.
  if (strategy.kind === 'split' || strategy.kind === 'whole') strategyCompliance(strategy, backend, HOOKS[strategy.name])
}

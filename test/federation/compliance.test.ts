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
  demlearn: { method: { levels: 2 } },
  mupfl: { plain: false, method: { tuneSteps: 3 } }, // trains without some units, and goes on after the last step
  'split-mix': { plain: false }, // several narrow models in place of one
  'split-mix-robust': { plain: false, method: { attackSteps: 2 } },
  fedit: { plain: false }, // after the warm steps the trunk is frozen: here and below
  'ffa-lora': { plain: false },
  flora: { plain: false },
  'fed-adapter': { plain: false },
  'fed-prompt': { plain: false },
  fedeq: { plain: false }, // another model, and steps that share the work between its parts: test/methods/fedeq.test.ts
  cofed: { plain: false, method: { public: { rows: 16, seed: 1 }, margin: 0, threshold: 0 } }, // start values and classes' weights of its own
  flexmod: { plain: false }, // another model: test/methods/flexmod.test.ts
  hyfem: { plain: false, method: { holds: [[0, 1], [1], [0]] } }, // another model: test/methods/hyfem.test.ts
  // The embedder's bias has no slope under batch normalisations: AdamW would step along its rounding errors.
  fedrbn: { plain: { optimiser: 'sgd' }, method: { attackSteps: 2 } },
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

/**
 * What the strategies of parameter-efficient tuning have in common: FedAvg for the first quarter of the steps, then the trunk
 * is frozen and adapters alone move, with the embedder and heads that FedAvg shares. Rules, options and what travels:
 * src/methods/peft.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

/** A random trunk teaches adapters little, and here there is no pre-trained one: so much of the run makes it. */
const WARM = 0.25

export function tuned (name: string, source: string, method: Readonly<Record<string, unknown>>): Strategy {
  return { ...fedavg, name, source, method: { name: 'peft', warm: WARM, ...method } }
}

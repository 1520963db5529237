/**
 * What the strategies of parameter-efficient tuning have in common: FedAvg for the first quarter of the steps, then the trunk
 * is frozen and adapters alone move, with the embedder and heads that FedAvg shares. Rules, options and what travels:
 * src/methods/peft.
 */
import { fedavg } from './fedavg.ts'
import type { Strategy } from './strategy.ts'

export function tuned (name: string, source: string, method: Readonly<Record<string, unknown>>): Strategy {
  return { ...fedavg, name, source, method: { name: 'peft', ...method } }
}

/** What a host tells a site, checked before the method sees it: a host is another member's machine, and may be wrong or lie. */
import { ProtocolError } from '../errors.ts'
import type { ExchangeSpec } from './method.ts'
import type { NamedTensor } from '../tensor/tensor.ts'

type Down = Required<ExchangeSpec>['down']

/** Units, each whole. */
export function wholeOf (units: ExchangeSpec['units']): Down { return (name, numbers) => units.get(name)?.parameterCount === numbers }

/** @throws {ProtocolError} a name that the charter's method does not tell, or one twice, or another size */
export function expectTold (down: Down, told: readonly NamedTensor[]): void {
  const names = new Set<string>()
  for (const { name, tensor: { data } } of told) {
    if (!down(name, data.length)) throw new ProtocolError(`the host told ${name} with ${data.length} numbers, which the charter's method has no use for`)
    if (names.has(name)) throw new ProtocolError(`the host told ${name} twice`)
    names.add(name)
  }
}

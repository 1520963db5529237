/** A compute worker that was lost is replaced; how often, and on which rung of the ladder. */
import { RUNGS } from '../../src/backend/ladder.ts'
import type { BackendError } from '../../src/errors.ts'
import type { RungName } from '../../src/backend/ladder.ts'

/** In a row, without a checkpoint in between: a device that is lost that often is lost again. */
const MOST = 3

export class Losses {
  #inARow = 0

  /** A checkpoint was made: there is something that the next worker goes on from. */
  settled (): void { this.#inARow = 0 }

  /**
   * Where to look for the next rung: a device that its driver has reset is back at once, one that is lost twice is left.
   * @param lost - undefined: the worker ended before it had a rung, and none was asked for
   * @returns undefined: the top of the ladder
   * @throws {BackendError} `error`, once it is not worth while any more
   */
  next (error: BackendError, lost: RungName | undefined): RungName | undefined {
    this.#inARow++
    if (this.#inARow > MOST) throw error
    return this.#inARow === 1 || lost === undefined ? lost : RUNGS[RUNGS.indexOf(lost) + 1] ?? lost
  }
}

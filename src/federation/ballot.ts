/** One vote of a host's clients on candidate trunks: who still has to answer what, and the verdicts so far. */
import type { CandidateScore } from '../backbone/frames.ts'

export class Ballot {
  readonly round: number
  readonly #waitingFor: Set<string>
  readonly #scores: CandidateScore[] = []
  readonly #complete = Promise.withResolvers<void>()

  constructor (round: number, voters: readonly string[], candidates: readonly string[]) {
    this.round = round
    this.#waitingFor = new Set(voters.flatMap(voter => candidates.map(candidate => `${voter}:${candidate}`)))
    this.#settle()
  }

  get scores (): readonly CandidateScore[] { return this.#scores }

  /** Voters that have not answered everything. */
  get late (): readonly string[] { return [...new Set([...this.#waitingFor].map(key => key.slice(0, key.lastIndexOf(':'))))] }

  /** Resolves when everybody has answered, or after the deadline. */
  async closed (deadlineMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>(resolve => { timer = setTimeout(resolve, deadlineMs) })
    await Promise.race([this.#complete.promise, deadline])
    clearTimeout(timer)
  }

  /** Counts a verdict once; one that nobody asked for is ignored. */
  accept (voter: string, candidate: string, scores: readonly CandidateScore[]): void {
    if (!this.#waitingFor.delete(`${voter}:${candidate}`)) return
    this.#scores.push(...scores)
    this.#settle()
  }

  /** Ends it now. */
  close (): void { this.#complete.resolve() }

  /** A voter left. */
  drop (voter: string): void {
    for (const key of this.#waitingFor) if (key.startsWith(`${voter}:`)) this.#waitingFor.delete(key)
    this.#settle()
  }

  #settle (): void { if (this.#waitingFor.size === 0) this.#complete.resolve() }
}

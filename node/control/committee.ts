/** GET /committee: which models serve this site and why, for `fmtl-node committee show`. */
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Committee } from '../roles/peer-role.ts'
import type { MemberExplanation, TaskExplanation } from '../../src/bench/choice.ts'
import type { PeerFigures } from '../telemetry/status.ts'
import type { Route } from './server.ts'

export interface CommitteeAnswer {
  readonly node: string
  /** Models on the bench, and of them the site's own. */
  readonly models: number
  readonly own: number
  /** How often it was chosen since the node started. */
  readonly choices: number
  readonly chosenSecondsAgo: number
  /** What serves in the end, the committee or the site's linear model, and why. Absent until the training is over. */
  readonly served?: { readonly by: string, readonly reason: string }
  readonly tasks: ReadonlyArray<Omit<TaskExplanation, 'members'> & { readonly members: ReadonlyArray<MemberExplanation & { readonly name: string }> }>
}

/** The part of a running node that it takes. */
export interface CommitteeSource {
  readonly committee: Committee | undefined
  readonly view: { readonly peer?: { readonly figures: PeerFigures } }
}

/** @param running - undefined until the node is made */
export function committeeRoute (node: string, charter: Charter, running: () => CommitteeSource | undefined): Route {
  return { method: 'GET', path: '/committee', handle: () => committeeOf(node, charter, running()) }
}

/**
 * @throws {InvalidParametersError} the charter has no bench
 * @throws {ResourceError} nothing was chosen yet
 */
function committeeOf (node: string, charter: Charter, running: CommitteeSource | undefined): CommitteeAnswer {
  if (charter.bench === undefined) throw new InvalidParametersError(`${node} trains one model with its peers: the charter of ${charter.name} has no bench to choose from`, { next: 'fmtl-node status, or a charter made with --strategy fedpae' })
  const { committee, view } = running ?? {}
  if (committee === undefined) {
    const { step, total } = view?.peer?.figures ?? {}
    throw new ResourceError(`no committee was chosen at ${node} yet: ${total === undefined ? 'it is starting' : `its own models have taken ${step} of ${total} steps`}`, { next: 'try again in a moment; fmtl-node status shows how far it is' })
  }
  const { explanation: { models, own, tasks }, choices, agoMs, served, names } = committee
  return {
    node,
    models,
    own,
    choices,
    chosenSecondsAgo: agoMs / 1000,
    ...served === undefined ? {} : { served },
    tasks: tasks.map(task => ({ ...task, members: task.members.map(member => ({ ...member, name: names[member.peer] ?? '' })) }))
  }
}

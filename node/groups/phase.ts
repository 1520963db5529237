/** The parts of a training whose tasks are split, each under a charter of its own, and where each is kept. */
import { join } from 'node:path'
import { CheckpointStore } from '../store/checkpoints.ts'
import { MemoryCheckpoints } from '../store/memory.ts'
import { charterHash } from '../../src/federation/charter.ts'
import { groupCharter, mergedCharter } from '../../src/federation/groups.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClientObserver } from '../roles/client-role.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { TaskGroup, TaskPartition } from '../../src/federation/groups.ts'

export interface PhaseStores {
  readonly host: Checkpoints
  readonly client: Checkpoints
  /** What the phase came to: what was agreed on after the merged one, a client's predictions after a group. */
  readonly outcome: Checkpoints
}

/** What a node does in one phase. */
export interface Phase {
  readonly charter: Charter
  /** 'merged', or 'group 2 of 3: tasks a, b'. */
  readonly title: string
  readonly group?: TaskGroup
  readonly stores: PhaseStores
  /** Weights to begin with. */
  readonly from?: { readonly host?: readonly NamedTensor[], readonly client?: readonly NamedTensor[] }
  /** This site's tasks in it; undefined: all of its own. */
  readonly tasks?: readonly string[]
  readonly observe: ClientObserver
}

/** Roles that a node takes in a phase. */
export interface PhaseRoles { readonly host: boolean, readonly client: boolean }

/** Under which charter a node begins. */
export function firstCharter (charter: Charter): Charter { return charter.grouping === undefined ? charter : mergedCharter(charter) }

export function titleOf ({ index, tasks }: TaskGroup, { groups }: Pick<TaskPartition, 'groups'>): string {
  return `group ${index + 1} of ${groups.length}: ${tasks.length === 1 ? 'task' : 'tasks'} ${tasks.join(', ')}`
}

/** @param expected - who is to be there before the first step, as the members of the group have it */
export function charterOfGroup (charter: Charter, group: TaskGroup, expected: { readonly quorum: number, readonly peers: number }): Charter {
  return { ...groupCharter(charter, group), clock: { ...charter.clock, ...expected } }
}

/**
 * Where a phase is kept: the merged one where a training of one phase would be, groups apart, so that an audit of the home does
 * not hold their checkpoints to the rounds of the merged one.
 * @param whole - charter of the training
 */
export function folderOf (home: string, whole: Charter, charter: Charter, first = home): string {
  return whole.grouping !== undefined && charter.grouping === undefined ? join(home, 'groups', charterHash(charter)) : first
}

/** Where a phase is kept under `folder`. */
export function storesIn (folder: string, charter: Charter, onDamaged: (line: string) => void): PhaseStores {
  const store = (part: string): CheckpointStore => new CheckpointStore(join(folder, 'checkpoints', part), { expect: { model: charterHash(charter) }, onDamaged })
  return { host: store('host'), client: store('client'), outcome: store('outcome') }
}

export function storesInMemory (): PhaseStores {
  return { host: new MemoryCheckpoints(), client: new MemoryCheckpoints(), outcome: new MemoryCheckpoints() }
}

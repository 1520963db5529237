/**
 * Everything a node tells about itself, one object each: what the testnet gathers, `--format json` prints line by line and
 * the terminal view draws. Field names are stable.
 */
import type { ClientReport } from '../src/training/committee.ts'
import type { Explanation } from '../src/bench/peer-trainer.ts'
import type { EncoderSteps, TaskPartition } from '../src/federation/groups.ts'
import type { RoundReport } from '../src/backbone/frames.ts'

/** 'peer': where models are traded, everybody is one, and nobody hosts. */
export type NodeRole = 'host' | 'client' | 'peer'

export type NodeEvent =
  /** The node listens and its work is checked. `backend` is 'none' for a client, which loads its rung when a host begins. */
  | { readonly type: 'node:started', readonly node: string, readonly peer: string, readonly pid: number, readonly roles: readonly NodeRole[], readonly roleReason: string, readonly addresses: readonly string[], readonly backend: string, readonly falls: readonly string[], readonly seconds: number }
  | { readonly type: 'host:ready', readonly node: string, readonly samplesPerSecond: number, readonly memoryBytes: number, readonly parameters: number }
  | { readonly type: 'client:ready', readonly node: string, readonly tasks: readonly string[], readonly samples: { readonly train: number, readonly holdout: number, readonly test: number } }
  /** The client's rung is loaded and its model built: it is about to take its first step. Before, it held neither. */
  | { readonly type: 'client:computing', readonly node: string, readonly backend: string, readonly falls: readonly string[], readonly seconds: number }
  /** `hostName` as the host's card gives it; peers are known by their id. */
  | { readonly type: 'client:attached', readonly node: string, readonly host: string, readonly hostName?: string, readonly step: number }
  | { readonly type: 'client:detached', readonly node: string, readonly host: string, readonly reason: string }
  /** The member log has grown: who is in now, and by which acts. */
  | { readonly type: 'members', readonly node: string, readonly members: number, readonly digest: string, readonly changes: ReadonlyArray<{ readonly kind: string, readonly by: string, readonly at: number }> }
  /** A newcomer waits for a member's yes. */
  | { readonly type: 'member:waiting', readonly node: string, readonly peer: string, readonly name: string, readonly invitedBy: string }
  /** A peer was not let in. */
  | { readonly type: 'peer:refused', readonly node: string, readonly peer: string, readonly address: string, readonly reason: string }
  /** Why nothing moves right now; sent when the reason changes. */
  | { readonly type: 'waiting', readonly node: string, readonly reason: string }
  /**
   * A host's step clock, at most a few times a second. Losses are means over the clients of a task; contributions are the
   * steps that each client has taken part in since the host began (daemons only).
   */
  | { readonly type: 'step', readonly node: string, readonly step: number, readonly total: number, readonly losses: Readonly<Record<string, number>>, readonly contributions?: Readonly<Record<string, number>> }
  | { readonly type: 'step:skipped', readonly node: string, readonly from: number, readonly to: number, readonly reason: string }
  /** Where tasks train in groups, with the group's tasks. */
  | { readonly type: 'round', readonly node: string, readonly report: RoundReport, readonly group?: readonly string[] }
  /** Where tasks train in groups: 'merged', 'group 2 of 3: tasks a, b', and 'report' when a client puts together what its groups left. */
  | { readonly type: 'phase', readonly node: string, readonly title: string }
  /** The tasks are split: what each does to the others, the groups, why, and what that takes. */
  | { readonly type: 'affinity', readonly node: string, readonly partition: TaskPartition, readonly encoderSteps: EncoderSteps }
  /** A peer offers a model: its card is out. Accuracy is what it measured on rows of its own. */
  | { readonly type: 'card:published', readonly node: string, readonly modelId: string, readonly version: number, readonly bytes: number, readonly accuracy?: number }
  /** A peer's model, or what should have been its card, is not used; nothing is lost by it. */
  | { readonly type: 'card:refused', readonly node: string, readonly peer: string, readonly modelId?: string, readonly version?: number, readonly reason: string }
  | { readonly type: 'checkpoint', readonly node: string, readonly step: number, readonly bytes: number }
  /** Sites trade models: one of a peer was asked about the site's rows. `kept`: it stands on the bench. */
  | { readonly type: 'model:considered', readonly node: string, readonly peer: string, readonly modelId: string, readonly version: number, readonly kept: boolean, readonly reason: string, readonly accuracy: number | null }
  /** Who serves from now on, and why. `pending`: models that came while it was chosen, and are looked at next. */
  | { readonly type: 'committee', readonly node: string, readonly explanation: Explanation, readonly pending?: number }
  | { readonly type: 'report', readonly node: string, readonly report: ClientReport }
  /** Resource use. Memory is the peak since the start, the loop's figures are those of the training: lag in all, and what is the thread's own doing. `overBudget`: by protocol, requests since the start that were answered 'busy' because their peer asks for too much. */
  | { readonly type: 'gauges', readonly node: string, readonly rssBytes: number, readonly liveTensors: number, readonly loopLagP99Ms: number, readonly loopLagMaxMs: number, readonly loopBusyP99Ms: number, readonly bytesSent: number, readonly bytesReceived: number, readonly overBudget?: Readonly<Record<string, number>> }
  | { readonly type: 'error', readonly node: string, readonly code: string, readonly message: string, readonly next?: string }
  | { readonly type: 'node:stopped', readonly node: string, readonly exitCode: number, readonly reason: string }

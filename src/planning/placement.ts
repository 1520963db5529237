/**
 * Where the trunk should sit for one site: at a host, which sees every mini-batch twice, or at the client, which computes
 * everything and sends what that changed. Both as seconds and bytes of a round with the same gradient steps.
 */
import { NEARLY } from './advice.ts'
import { inFlight } from '../training/spec.ts'
import type { Charter } from '../federation/charter.ts'
import type { CodecPlan, Link } from './advice.ts'
import type { Traffic } from './traffic.ts'

export interface Placement {
  readonly trunk: 'host' | 'client'
  readonly codec: CodecPlan['codec']
  readonly gradientSteps: number
  /** Times that the host is asked in a round: steps, or contributions. */
  readonly exchanges: number
  /** Of one client in one round. */
  readonly bytesUp: number
  readonly bytesDown: number
  readonly computeSeconds: number
  /** On the line: bytes, round trips, encoding. */
  readonly lineSeconds: number
  readonly seconds: number
  /** Whether its messages are small enough to be sent. */
  readonly possible: boolean
}

export interface PlacementAdvice {
  readonly placements: readonly [Placement, Placement]
  readonly trunk: Placement['trunk']
  readonly reason: string
}

export interface PlacedRound {
  /** Under which the trunk is so placed. */
  readonly charter: Charter
  /** Of one exchange. */
  readonly plan: CodecPlan
  /** Of the whole round, its end included. */
  readonly traffic: Traffic
  readonly gradientSteps: number
  readonly possible: boolean
}

export function advisePlacement (link: Link, atHost: PlacedRound, atClient: PlacedRound): PlacementAdvice {
  const placements = [placementOf('host', link, atHost), placementOf('client', link, atClient)] as const
  const [host, client] = placements
  const only = placements.filter(({ possible }) => possible)
  if (only.length === 1) return { placements, trunk: (only[0] as Placement).trunk, reason: 'the other way has messages that are too large to be sent' }
  const bytes = ({ bytesUp, bytesDown }: Placement): number => bytesUp + bytesDown
  const [faster, slower] = host.seconds <= client.seconds ? [host, client] : [client, host]
  const alike = slower.seconds <= NEARLY * faster.seconds
  const chosen = alike ? (bytes(host) <= bytes(client) ? host : client) : faster
  const rest = chosen === host ? client : host
  const times = (more: number, less: number): string => (more / less).toPrecision(3)
  return {
    placements,
    trunk: chosen.trunk,
    reason: (alike ? 'as fast either way' : `a round is ${times(slower.seconds, faster.seconds)} times faster`) +
      (bytes(chosen) <= bytes(rest) ? `, with ${times(bytes(rest), bytes(chosen))} times fewer bytes` : `, at the price of ${times(bytes(chosen), bytes(rest))} times the bytes`)
  }
}

/** With steps in flight the line is hidden behind the steps before, as far as compute goes. */
function placementOf (trunk: Placement['trunk'], link: Link, { charter, plan, traffic, gradientSteps, possible }: PlacedRound): Placement {
  const exchanges = charter.training.stepsPerRound
  const under = trunk === 'host' ? inFlight(charter.training) : 1
  const end = 8 * (traffic.up - exchanges * plan.bytesUp) / link.upBitsPerSecond + 8 * (traffic.down - exchanges * plan.bytesDown) / link.downBitsPerSecond
  const seconds = exchanges * Math.max(plan.computeSeconds, plan.seconds / under) + end
  const computeSeconds = exchanges * plan.computeSeconds
  return { trunk, codec: plan.codec, gradientSteps, exchanges, bytesUp: traffic.up, bytesDown: traffic.down, computeSeconds, lineSeconds: seconds - computeSeconds, seconds, possible }
}

/** A charter in a dozen lines, for who founds and who consents. */
import { clean, plural } from '../format.ts'
import { quorumOf } from '../../../src/membership/index.ts'
import type { ConsortiumCharter } from '../../../src/membership/index.ts'

const ADMISSION = {
  link: 'who holds a valid invitation is in',
  member: 'a member says yes to every newcomer',
  'second-member': 'somebody else than who invited says yes to every newcomer'
}

export function describeCharter (charter: ConsortiumCharter): string {
  const { training: { tasks, model, training, projection, merge, clock, cutCodec, shared }, governance, safeguards } = charter
  const { width, layers, foundation } = model.backbone
  const whole = model.trunk === 'client'
  const layout = model.kind === 'linear' ? 'none: one linear layer per task' : `${layers} layers of width ${width}${foundation === undefined ? '' : ` that start as a ${foundation.family} model, sha-256 ${foundation.sha256.slice(0, 16)}...`}`
  return [
    `${clean(charter.name)}, charter version ${charter.version}`,
    `  trains      ${tasks.map(task => `${clean(task.id)} (${task.kind})`).join(', ')}`,
    `  backbone    ${layout}, ${whole ? 'at every client' : 'at the hosts'}; ${plural(training.rounds, 'round')} of ${plural(training.stepsPerRound, 'step')}, batch ${training.batch}, from ${plural(clock.quorum, 'site')} on`,
    `  update      rule ${projection.rule}, strict ${projection.strict}${projection.weighting === undefined ? '' : `, a site's tasks weighed by ${projection.weighting}`}; hosts merge by ${merge.mode}${merge.rule === undefined ? '' : ` and ${merge.rule}`}, no host above ${Math.round(merge.shareCap * 100)} % of three or more, clip ${merge.clip} x median`,
    `  leaves you  ${whole ? 'changes of the model' : 'activations and gradients at the cut'} as ${cutCodec}${shared.length > 0 ? `, gradients of ${shared.map(clean).join(', ')}` : ''}; never rows, labels or other units`,
    `  admission   ${ADMISSION[governance.admission]}; invitations live ${governance.invitationDays} days at most`,
    `  decisions   ${governance.quorum === 'majority' ? 'more than half of the members' : plural(quorumOf(charter, Infinity), 'member')} to expel a member or change this charter`,
    `  safeguards  at least ${safeguards.minRows} training rows per site; deltas kept for ${plural(safeguards.retainRounds, 'round')}`
  ].join('\n')
}

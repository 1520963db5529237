import test from 'ava'
import { enterSite, foundSite, knockWith, linkOf, until } from './helpers.ts'

test.serial('found, invite, knock, admit: the newcomer is a member everywhere', async t => {
  const ann = await foundSite(t, 'ann')
  const bea = await enterSite(t, ann, 'bea')
  t.true(bea.membership.joined)
  await until(() => bea.membership.state.digest === ann.membership.state.digest)
  const cyd = await enterSite(t, bea, 'cyd')
  await until(() => [ann, bea, cyd].every(site => site.membership.state.members.size === 3))
  await until(() => [ann, bea, cyd].every(site => site.presence.neighbours.every(({ connected, beat }) => connected && beat?.digest === site.membership.state.digest)))
  t.pass()
})

test.serial('a link is no use once it was used', async t => {
  const ann = await foundSite(t, 'ann', { admission: 'link' })
  const link = await linkOf(ann)
  await knockWith(t, 'bea', link)
  await t.throwsAsync(knockWith(t, 'cyd', link), { code: 'ERR_REFUSED' })
  t.true(ann.events.some(event => event.type === 'peer:refused' && /used up/.test(event.reason)))
})

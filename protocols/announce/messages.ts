/** Host card: contract <-> bytes. Wire format: ./README.md. */
import { MAX_ADDRESSES, MAX_CARD_BYTES } from '../limits.ts'
import { amount, checked, clip, parse, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'
import type { HostCard } from '../../src/backbone/frames.ts'

const U32 = 0xffffffff

export function encodeCard (card: HostCard): Uint8Array {
  return checked('a host card', () => pb.HostCard.encode(check({ ...card, name: clip(card.name), addresses: card.addresses.slice(0, MAX_ADDRESSES) })))
}

export function decodeCard (bytes: Uint8Array): HostCard {
  return check(parse(bytes, MAX_CARD_BYTES, 'host card', bytes => pb.HostCard.decode(bytes, { limits: { addresses: MAX_ADDRESSES } })))
}

function check (card: pb.HostCard): HostCard & pb.HostCard {
  return {
    host: text(card.host, 'host'),
    name: text(card.name, 'name', undefined, 0),
    backend: text(card.backend, 'backend'),
    samplesPerSecond: amount(card.samplesPerSecond, 'samples per second'),
    memoryBytes: whole(card.memoryBytes, 'memory', 0, Number.MAX_SAFE_INTEGER),
    attached: whole(card.attached, 'attached', 0, U32),
    slots: whole(card.slots, 'slots', 0, U32),
    model: text(card.model, 'model'),
    round: whole(card.round, 'round', 0, U32),
    step: whole(card.step, 'step', 0, U32),
    addresses: texts(card.addresses, 'addresses', MAX_ADDRESSES),
    sentAt: whole(card.sentAt, 'sent at', 0, Number.MAX_SAFE_INTEGER)
  }
}

export { CODECS, INT8_BLOCK, MAX_ELEMENTS, decode, encode, encodeInto, encodedBytes } from './codecs.ts'
export { packUnits, packedBytes, unpackUnits } from './units.ts'
export type { CodecName } from './codecs.ts'

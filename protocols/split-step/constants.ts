export const PROTOCOL = '/fmtl/split-step/1.0.0'

/** How tensors travel. */
export const CODECS = ['f32', 'f16', 'bf16', 'int8'] as const
export type CodecName = typeof CODECS[number]

/** Client frames that use a credit until the host's answer. */
export const CREDIT_KINDS = ['forward', 'grads', 'eval-forward'] as const

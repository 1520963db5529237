export const PROTOCOL = '/fmtl/split-step/1.0.0'

/** Client frames that use a credit until the host's answer. */
export const CREDIT_KINDS = ['forward', 'grads', 'eval-forward'] as const

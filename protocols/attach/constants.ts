export const PROTOCOL = '/fmtl/attach/1.0.0'

/**
 * The same model trained the other way, as a charter of its own: what split training of it and FedAvg of it would send can
 * then be worked out, and measured, like any other charter's. A round is as many gradient steps of a client in both.
 */
import { createCharter } from '../federation/charter.ts'
import { fedavg } from '../strategies/fedavg.ts'
import { fedbone } from '../strategies/fedbone.ts'
import { localStepsOf } from '../training/spec.ts'
import { settingsOf } from '../strategies/index.ts'
import type { Charter, CharterOptions } from '../federation/charter.ts'
import type { Strategy } from '../strategies/index.ts'

/** Trunk at the host. What is split already stays as it is. */
export function asSplit (charter: Charter): Charter {
  if (charter.model.trunk !== 'client') return charter
  const { training } = charter
  return other(charter, fedbone, { sharedEmbedder: false, sharedHeads: [] }, { stepsPerRound: training.stepsPerRound * localStepsOf(training) })
}

/** Every parameter averaged: once a round, or as often as a charter of whole models says. */
export function asFedAvg (charter: Charter): Charter {
  const { training, model } = charter
  const steps = model.trunk === 'client'
    ? { stepsPerRound: training.stepsPerRound, localSteps: localStepsOf(training) }
    : { stepsPerRound: 1, localSteps: training.stepsPerRound }
  return other(charter, fedavg, {}, steps)
}

function other ({ name, seed, input, inputs, tasks, model, training, merge, clock, cutCodec }: Charter, strategy: Strategy, shares: Record<string, unknown>, steps: Record<string, number>): Charter {
  const { backbone, embedder, embedders, adapter, dropout } = model
  const { rounds, batch, lrTrunk, lrClient, lrLocal, warmup, weightDecay, beta1, beta2, smoothing, shift, optimiser } = training
  const settings: Pick<CharterOptions, 'model' | 'training' | 'projection' | 'merge'> = settingsOf({ ...strategy, training: {} }, {}, {
    model: shares,
    training: { rounds, batch, lrTrunk, lrClient, lrLocal, warmup, weightDecay, beta1, beta2, smoothing, shift, ...optimiser === undefined ? {} : { optimiser }, ...steps },
    merge: { codec: merge.codec, ...merge.mode === 'none' ? { mode: 'none' } : {} }
  })
  return createCharter({ name, seed, input, ...inputs === undefined ? {} : { inputs }, tasks, clock, cutCodec, ...settings, model: { ...backbone, embedder, ...embedders === undefined ? {} : { embedders }, adapter, dropout, ...settings.model } })
}

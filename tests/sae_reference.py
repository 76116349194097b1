"""What do the papers' formulas give for one sparse autoencoder: slowly, sample by sample, in numpy's float64?"""

from __future__ import annotations

from itertools import product

import numpy as np

from homolog.decompositions.sae.relu import LP_OFFSET


def loss(name, p, x, options, dead, variance, step=0, data=None, held=None):
    """The loss of one autoencoder with parameters `p` on a batch `(sample, unit)`, and its residual.

    `dead`: which latents AuxK may use; `variance`: of the data, mean square from their mean; `data`: an archetypal
    dictionary's candidates. `held` gives what no gradient runs through (``residual``, ``decoder``, ``bias``), so that
    differences of the loss are the gradient.
    """
    held, spread = held or {}, len(x) * variance
    decoder = mixed_directions(p, data, options["relaxation"]) if name == "archetypal_sae" else p["decoder"]
    k = k_of(options, step)
    if name == "matching_pursuit_sae":
        residual = x - write(pursuit_codes(x - p["bias"], decoder, k), decoder, p["bias"])
        return fvu(residual, spread), residual
    pre = np.array([[row @ (sample - p["bias"]) for row in p["encoder"]] for sample in x]) + p["encoder_bias"]
    norm = norms(decoder, options)
    codes = codes_of(name, pre, p, options, k)
    residual = x - write(codes, decoder, p["bias"])
    if name in ("relu_sae", "jumprelu_sae", "gated_sae"):
        total = (residual**2).sum() / len(x)
        warm = min(1, (step + 1) / (options["penalty_warmup"] * options["steps"])) if options["penalty_warmup"] else 1
        total += warm * sparsity(name, pre, codes, p, options, step, norm)
    else:
        total = fvu(residual, spread)
    if name == "gated_sae":
        # What is held is the direction: a free norm isn't the decoder's, but scales what the gate gives.
        direction = (held.get("decoder", decoder).T / norms(held.get("decoder", decoder), options)).T
        by_gate = write(np.maximum(pre, 0) * norm, direction, held.get("bias", p["bias"]))
        total += ((x - by_gate) ** 2).sum() / len(x)
    if name == "topk_sae" and options["multi"]:
        wide = topk_codes(pre * norm, 4 * k, options["dense"])
        total += fvu(x - write(wide / norm, decoder, p["bias"]), spread) / 8
    if name == "matryoshka_sae":
        total = nested(codes, decoder, p["bias"], x, options["levels"], spread)
    if options["dead"] == "auxk" and dead.any():
        target = held.get("residual", residual)
        count = options["aux_k"] or x.shape[1] // 2
        before = magnitudes(pre, p) if name == "gated_sae" else pre
        explained = write(topk_codes(np.where(dead, before * norm, -np.inf), count) / norm, decoder, 0)
        total += options["aux_coefficient"] * fvu(target - explained, ((target - target.mean(0)) ** 2).sum())
    return total, residual


def fvu(residual, spread):
    return (residual**2).sum() / spread


def write(codes, decoder, bias):
    return np.array([bias + sum(z * direction for z, direction in zip(row, decoder, strict=True)) for row in codes])


def k_of(options, step):
    """How many latents are selected: on a straight line from k_start to k, which the step at k_warmup's end has."""
    if options.get("k_start") is None:
        return options.get("k")
    done = min(1, (step + 1) / (options["k_warmup"] * options["steps"]))
    return round((1 - done) * options["k_start"] + done * options["k"])


def norms(decoder, options):
    """What codes are weighted by, in whatever says which of them are on and how much that costs."""
    return np.linalg.norm(decoder, axis=1) if options["decoder"] == "norm_weighted" else np.ones(len(decoder))


def codes_of(name, pre, p, options, k):
    norm = norms(p["decoder"], options) if "decoder" in p else 1
    if name in ("topk_sae", "archetypal_sae"):
        return topk_codes(pre * norm, k, options["dense"]) / norm
    if name in ("batch_topk_sae", "matryoshka_sae", "crosscoder"):
        return batch_codes(pre * norm, k, options["dense"]) / norm
    if name == "jumprelu_sae":
        return np.where(pre * norm > p["threshold"], pre, 0)
    if name == "gated_sae":
        return np.where(pre > 0, np.maximum(magnitudes(pre, p), 0), 0)
    return np.maximum(pre, 0)


def magnitudes(gate, p):
    return (gate - p["encoder_bias"]) * np.exp(p["log_rescale"]) + p["magnitude_bias"]


def topk_codes(pre, k, dense=0):
    codes = np.zeros_like(pre)
    for row, out in zip(pre, codes, strict=True):
        largest = sorted(range(dense, len(row)), key=lambda i: -row[i])[:k]
        for i in [*range(dense), *largest]:
            out[i] = max(row[i], 0)
    return codes


def batch_codes(pre, k, dense=0):
    samples, latents = pre.shape
    codes = np.zeros_like(pre)
    largest = sorted(product(range(samples), range(dense, latents)), key=lambda place: -pre[place])[: k * samples]
    for place in [*largest, *product(range(samples), range(dense))]:
        codes[place] = max(pre[place], 0)
    return codes


def pursuit_codes(centred, decoder, k):
    codes = np.zeros((len(centred), len(decoder)))
    for left, out in zip(centred.copy(), codes, strict=True):
        for _ in range(k):
            match = [float(left @ direction) for direction in decoder]
            best = int(np.argmax(match))
            out[best] += max(match[best], 0)
            left -= max(match[best], 0) * decoder[best]
    return codes


def sparsity(name, pre, codes, p, options, step, norm):
    """The penalty as the recipe weighs it, once warm; dense latents come first and are free of it."""
    total, free = 0.0, options["dense"]
    for row, z in zip(pre, codes, strict=True):
        for i in range(free, len(row)):
            if name == "gated_sae":
                total += max(row[i], 0) * norm[i]
            elif name == "jumprelu_sae":
                total += row[i] * norm[i] > p["threshold"][i]
            else:
                total += concave(z[i] * norm[i], options, step)
    mean = total / len(pre)
    if name == "jumprelu_sae" and options["target_l0"] is not None:
        return options["target_coefficient"] * (mean / options["target_l0"] - 1) ** 2
    return options["coefficient"] * mean


def concave(z, options, step):
    if options["penalty"] == "l1":
        return z
    if options["penalty"] == "tanh":
        return np.tanh(z)
    power = 0.5
    if options["penalty"] == "lp":
        power = 1 + (options["p_end"] - 1) * step / (options["steps"] - 1)
    return (z + LP_OFFSET) ** power - LP_OFFSET**power


def nested(codes, decoder, bias, x, levels, spread):
    """Mean FVU of the reconstructions by the first F / 2^(levels - 1), ..., F / 2, F latents."""
    ends = [len(decoder) // 2**level for level in range(levels)]
    return np.mean([fvu(x - write(codes[:, :end], decoder[:end], bias), spread) for end in ends])


def mixed_directions(p, data, relaxation):
    """Convex combinations of the candidates, moved by at most `relaxation` of their mean norm, as unit vectors."""
    limit, rows = relaxation * np.mean([np.linalg.norm(point) for point in data]), []
    for logits, off in zip(p["mixture"], p["relaxation"], strict=True):
        weights = np.exp(logits) / np.exp(logits).sum()
        row = sum(w * point for w, point in zip(weights, data, strict=True))
        row = row + off * min(1, limit / np.linalg.norm(off))
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def differences(name, p, x, options, h=1e-6, **state):
    """The gradient with respect to every parameter, by central differences; what is detached stays where it is."""
    _, residual = loss(name, p, x, options, **state)
    held = {"residual": residual, "decoder": p.get("decoder", np.zeros(0)).copy(), "bias": p["bias"].copy()}
    gradients = {}
    for key, array in p.items():
        gradients[key] = np.empty_like(array)
        for at in np.ndindex(array.shape):
            value, ends = array[at], []
            for sign in (1, -1):
                array[at] = value + sign * h
                ends.append(loss(name, p, x, options, held=held, **state)[0])
            array[at] = value
            gradients[key][at] = (ends[0] - ends[1]) / (2 * h)
    return gradients


def threshold_gradient(p, x, options, warm=1.0):
    """Of JumpReLU's thresholds: the pseudo-derivatives of Rajamanoharan et al. (2024b), equations 11 and 12.

    dz/dt = -t / width and d1/dt = -1 / width for each pre-activation within half a width of t; both z and the
    pre-activation are those of a direction of unit norm.
    """
    threshold, width, batch, norm = p["threshold"], options["bandwidth"], len(x), norms(p["decoder"], options)
    pre = ((x - p["bias"]) @ p["encoder"].T + p["encoder_bias"]) * norm
    directions = (p["decoder"].T / norm).T
    residual = x - write(np.where(pre > threshold, pre, 0), directions, p["bias"])
    l0 = (pre > threshold)[:, options["dense"] :].sum() / batch
    slope = options["coefficient"]
    if options["target_l0"] is not None:
        slope = options["target_coefficient"] * 2 * (l0 / options["target_l0"] - 1) / options["target_l0"]
    gradient = np.zeros_like(threshold)
    for i, t in enumerate(threshold):
        for row, error in zip(pre, residual, strict=True):
            if abs(row[i] - t) < width / 2:
                by_code = -2 / batch * (error @ directions[i])
                gradient[i] += by_code * -t / width
                gradient[i] += warm * slope / batch * -1 / width if i >= options["dense"] else 0
    return gradient


def adam(p, gradients, first, second, rate, t, sphere, held, cosine=1.0):
    """One step of Adam (Kingma & Ba, 2015), the gradient of `sphere` rows off them alone, which then are made unit.

    `held` rows of the encoder and of the decoder stay where they are when `cosine` is 1.
    """
    for key, gradient in gradients.items():
        g = gradient.copy()
        if key == "decoder" and sphere:
            for row, direction in zip(g, p[key], strict=True):
                row -= (row @ direction) * direction
        if key in ("encoder", "decoder") and cosine == 1:
            g[held] = 0
        first[key] = 0.9 * first[key] + 0.1 * g
        second[key] = 0.999 * second[key] + 0.001 * g**2
        p[key] = p[key] - rate * (first[key] / (1 - 0.9**t)) / (np.sqrt(second[key] / (1 - 0.999**t)) + 1e-8)
        if key == "decoder" and sphere:
            p[key] = np.array([row / np.linalg.norm(row) for row in p[key]])


def turn_back(decoder, start, held, cosine):
    """Turn `held` rows, in place, within their plane with their `start` until the angle's cosine is `cosine` at least.

    Their norms stay. Gives the number of rows that were too far.
    """
    angle, count = np.arccos(cosine), 0
    for i in np.flatnonzero(held):
        norm, axis = np.linalg.norm(decoder[i]), start[i] / np.linalg.norm(start[i])
        if decoder[i] @ axis / norm < cosine:
            side = decoder[i] - (decoder[i] @ axis) * axis
            decoder[i] = norm * (np.cos(angle) * axis + np.sin(angle) * side / np.linalg.norm(side))
            count += 1
    return count

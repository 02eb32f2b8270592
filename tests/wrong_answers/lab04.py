"""Lab 04's answers."""

import math

import torch
from answers import Answers

step = Answers("l1_step")


@step.wrong(says="L2 penalty")
def squares_the_weight(w, learning_rate, l1_coefficient):
    return w - learning_rate * 2 * l1_coefficient * w


@step.wrong(says="NaN")
def divides_by_the_absolute_value(w, learning_rate, l1_coefficient):
    return w - learning_rate * l1_coefficient * w / w.abs()


@step.wrong(says="slope of |w| at 0 as 0")
def one_or_minus_one(w, learning_rate, l1_coefficient):
    gradient = torch.ones_like(w)
    gradient[w < 0] = -1
    return w - learning_rate * l1_coefficient * gradient


@step.wrong(says="climbs")
def adds_the_gradient(w, learning_rate, l1_coefficient):
    return w + learning_rate * l1_coefficient * torch.sign(w)


@step.wrong(says="slope of |w| is -1 there")
def always_subtracts(w, learning_rate, l1_coefficient):
    return torch.where(w == 0, w, w - learning_rate * l1_coefficient)


@step.wrong(says="penalty, not its slope")
def takes_the_absolute_value(w, learning_rate, l1_coefficient):
    return w - learning_rate * l1_coefficient * w.abs()


@step.wrong(says="no ReLU")
def adds_a_relu(w, learning_rate, l1_coefficient):
    return (w - learning_rate * l1_coefficient).relu()


@step.wrong(says="no ReLU")
def adds_a_relu_to_the_right_step(w, learning_rate, l1_coefficient):
    return torch.relu(w - learning_rate * l1_coefficient * w.sign())


@step.wrong(says="goes past it")
def thresholds_softly(w, learning_rate, l1_coefficient):
    return w.sign() * (w.abs() - learning_rate * l1_coefficient).clamp(min=0)


@step.right
def by_autograd(w, learning_rate, l1_coefficient):
    x = w.clone().requires_grad_()
    (l1_coefficient * x.abs().sum()).backward()
    return w - learning_rate * x.grad


@step.right
def by_comparison(w, learning_rate, l1_coefficient):
    return w - learning_rate * l1_coefficient * ((w > 0).float() - (w < 0).float())


forward = Answers("sae_forward")


def _encode(h, W_enc, b_enc, b_dec):
    return torch.einsum("nid,ids->nis", h - b_dec, W_enc) + b_enc


def _decode(z, W_dec, b_dec):
    return torch.einsum("nis,isd->nid", z, W_dec) + b_dec


@forward.wrong(says="b_enc is missing")
def forgets_b_enc(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, 0, b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="not centred")
def does_not_centre(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, 0).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="b_dec is missing from h_hat")
def forgets_b_dec_at_the_end(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, 0)}


@forward.wrong(says="ReLU is missing")
def has_no_relu(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, b_dec)
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="ReLU stands after the decoder")
def has_a_relu_on_the_decoder(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec).relu()}


@forward.wrong(says="not tied")
def encodes_with_the_decoder(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_dec.mT, b_enc, b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="not tied")
def decodes_with_the_encoder(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_enc.transpose(1, 2), b_dec)}


@forward.wrong(says="b_dec is added; centring subtracts")
def centres_the_wrong_way(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, -b_dec).relu()
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="after the ReLU")
def adds_the_bias_after_the_relu(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, 0, b_dec).relu() + b_enc
    return {"z": z, "h_hat": _decode(z, W_dec, b_dec)}


@forward.wrong(says="axes do not fit")
def copies_the_lines(h, W_enc, b_enc, W_dec, b_dec):
    z = ((h - b_dec) @ W_enc + b_enc).relu()
    return {"z": z, "h_hat": z @ W_dec + b_dec}


@forward.wrong(says="return a dict")
def returns_a_tuple(h, W_enc, b_enc, W_dec, b_dec):
    z = _encode(h, W_enc, b_enc, b_dec).relu()
    return z, _decode(z, W_dec, b_dec)


@forward.right
def instance_by_instance(h, W_enc, b_enc, W_dec, b_dec):
    z = torch.stack([torch.clamp((h[:, i] - b_dec[i]) @ W_enc[i] + b_enc[i], min=0) for i in range(h.shape[1])], dim=1)
    h_hat = torch.stack([z[:, i] @ W_dec[i] + b_dec[i] for i in range(h.shape[1])], dim=1)
    return {"h_hat": h_hat, "z": z}


@forward.right
def by_matmul(h, W_enc, b_enc, W_dec, b_dec):
    pre = ((h - b_dec)[..., None, :] @ W_enc)[..., 0, :] + b_enc
    z = pre * (pre > 0)
    return {"z": z, "h_hat": (z[..., None, :] @ W_dec).squeeze(-2) + b_dec}


loss = Answers("sae_loss")


@loss.wrong(says="averaged over the latents")
def averages_the_latents(h, h_hat, z, l1_coefficient):
    return ((h_hat - h) ** 2).sum(-1).mean(0) + l1_coefficient * z.mean(-1).mean(0)


@loss.wrong(says="averaged over d_in")
def averages_the_error(h, h_hat, z, l1_coefficient):
    return ((h_hat - h) ** 2).mean(dim=(0, 2)) + l1_coefficient * z.sum(-1).mean(0)


@loss.wrong(says="batch is summed")
def sums_the_batch(h, h_hat, z, l1_coefficient):
    return ((h_hat - h) ** 2).sum(dim=(0, 2)) + l1_coefficient * z.sum(dim=(0, 2))


@loss.wrong(says="that is L2")
def penalises_squares(h, h_hat, z, l1_coefficient):
    return ((h_hat - h) ** 2).sum(-1).mean(0) + l1_coefficient * (z**2).sum(-1).mean(0)


@loss.wrong(says="all instances")
def mixes_the_instances(h, h_hat, z, l1_coefficient):
    return (((h_hat - h) ** 2).sum(-1) + l1_coefficient * z.abs().sum(-1)).mean()


@loss.wrong(says="penalty is missing")
def forgets_the_penalty(h, h_hat, z, l1_coefficient):
    return torch.square(h - h_hat).sum(-1).mean(0)


@loss.right
def by_norms(h, h_hat, z, l1_coefficient):
    return (h - h_hat).norm(dim=-1).square().mean(0) + l1_coefficient * z.norm(p=1, dim=-1).mean(0)


@loss.right
def sums_then_divides(h, h_hat, z, l1_coefficient):
    return ((h - h_hat).pow(2).sum((0, 2)) + l1_coefficient * z.abs().sum((0, 2))) / h.shape[0]


gradient = Answers("latent_gradient")


@gradient.wrong(says="ReLU passes nothing back")
def forgets_the_relu(h, h_hat, z, W_dec, l1_coefficient):
    return (torch.einsum("nid,isd->nis", 2 * (h_hat - h), W_dec) + l1_coefficient) / len(h)


@gradient.wrong(says="silent latents get the L1 push")
def pushes_silent_latents(h, h_hat, z, W_dec, l1_coefficient):
    data = torch.einsum("nid,isd->nis", 2 * (h_hat - h), W_dec) / len(h)
    return torch.where(z > 0, data, torch.zeros_like(data)) + l1_coefficient / len(h)


@gradient.wrong(says="averaged over the latents")
def averages_the_push(h, h_hat, z, W_dec, l1_coefficient):
    d_z = torch.einsum("nid,isd->nis", 2 * (h_hat - h), W_dec) + l1_coefficient / z.shape[2]
    return d_z * (z > 0) / h.shape[0]


@gradient.wrong(says="L1 push is missing")
def forgets_the_push(h, h_hat, z, W_dec, l1_coefficient):
    return torch.einsum("nid,isd->nis", 2 * (h_hat - h), W_dec) * (z > 0) / h.shape[0]


@gradient.wrong(says="divided by the batch")
def forgets_the_batch(h, h_hat, z, W_dec, l1_coefficient):
    return (torch.einsum("nid,isd->nis", 2 * (h_hat - h), W_dec) + l1_coefficient) * (z > 0)


@gradient.right
def by_matmul_per_instance(h, h_hat, z, W_dec, l1_coefficient):
    d_out = 2 * (h_hat - h) / len(h)
    d_z = torch.stack([d_out[:, i] @ W_dec[i].T for i in range(W_dec.shape[0])], 1) + l1_coefficient / len(h)
    d_z[z == 0] = 0.0
    return d_z


@gradient.right
def with_sign(h, h_hat, z, W_dec, l1_coefficient):
    d_z = ((h_hat - h)[..., None, :] @ W_dec.mT)[..., 0, :] * 2 + l1_coefficient * z.sign()
    return torch.where(z > 0, d_z, 0.0) / len(h)


found = Answers("recovered_features")


def _unit(W):
    return W / W.norm(dim=-1, keepdim=True)


@found.wrong(says="points the other way")
def takes_absolute_cosines(directions, W_dec, alive, degrees):
    cosine = (_unit(directions) @ _unit(W_dec).T).abs()
    return ((cosine > math.cos(math.radians(degrees))) & alive).any(1)


@found.wrong(says="dead latent counts")
def counts_the_dead(directions, W_dec, alive, degrees):
    cosine = _unit(directions) @ _unit(W_dec).T
    return (cosine > math.cos(degrees * math.pi / 180)).any(1)


@found.wrong(says="radians")
def cosine_of_degrees(directions, W_dec, alive, degrees):
    cosine = _unit(directions) @ _unit(W_dec).T
    return ((cosine > math.cos(degrees)) & alive).any(1)


@found.wrong(says="length 1")
def forgets_to_normalise(directions, W_dec, alive, degrees):
    return ((directions @ W_dec.T > math.cos(math.radians(degrees))) & alive).any(1)


@found.wrong(says="rows of W_dec are not of length 1")
def forgets_to_normalise_the_decoder(directions, W_dec, alive, degrees):
    return ((_unit(directions) @ W_dec.T > math.cos(math.radians(degrees))) & alive).any(1)


@found.wrong(says="planted directions are not of length 1")
def forgets_to_normalise_the_features(directions, W_dec, alive, degrees):
    return ((directions @ _unit(W_dec).T > math.cos(math.radians(degrees))) & alive).any(1)


@found.wrong(says="one answer for each feature")
def answers_for_latents(directions, W_dec, alive, degrees):
    near = _unit(directions) @ _unit(W_dec).T > math.cos(math.radians(degrees))
    return (near & alive).any(0)


@found.right
def drops_the_dead_first(directions, W_dec, alive, degrees):
    cosine = torch.nn.functional.normalize(directions, dim=-1) @ torch.nn.functional.normalize(W_dec[alive], dim=-1).T
    return cosine.max(dim=-1).values > math.cos(math.radians(degrees))


@found.right
def by_angles(directions, W_dec, alive, degrees):
    angle = torch.rad2deg(torch.acos((_unit(directions) @ _unit(W_dec).T).clamp(-1, 1)))
    return (angle[:, alive] < degrees).sum(-1) > 0


normalise = Answers("normalise_decoder")


@normalise.wrong(says="wrong axis")
def normalises_over_latents(W_dec):
    return torch.nn.functional.normalize(W_dec, dim=1)


@normalise.wrong(says="not normalised")
def returns_it_as_it_is(W_dec):
    return W_dec.clone()


@normalise.wrong(says="squared length")
def forgets_the_root(W_dec):
    return W_dec / (W_dec**2).sum(-1, keepdim=True)


@normalise.wrong(says="each instance was divided by one number")
def one_length_an_instance(W_dec):
    return W_dec / W_dec.norm(dim=(1, 2), keepdim=True)


@normalise.right
def by_library(W_dec):
    return torch.nn.functional.normalize(W_dec, dim=-1)


@normalise.right
def by_root(W_dec):
    return W_dec * (W_dec * W_dec).sum(2, keepdim=True).rsqrt()


cheat = Answers("cheat_the_penalty")


@cheat.wrong(says="b_enc has to shrink")
def forgets_the_bias(W_enc, b_enc, W_dec, factor):
    return {"W_enc": W_enc / factor, "b_enc": b_enc, "W_dec": W_dec * factor}


@cheat.wrong(says="larger, not smaller")
def the_wrong_way_round(W_enc, b_enc, W_dec, factor):
    return {"W_enc": W_enc * factor, "b_enc": b_enc * factor, "W_dec": W_dec / factor}


@cheat.wrong(says="decoder has to give back")
def shrinks_only_the_encoder(W_enc, b_enc, W_dec, factor):
    return {"W_enc": W_enc / factor, "b_enc": b_enc / factor, "W_dec": W_dec}


@cheat.wrong(says="not by")
def changes_nothing(W_enc, b_enc, W_dec, factor):
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec}


@cheat.wrong(says="not by")
def splits_the_factor(W_enc, b_enc, W_dec, factor):
    c = factor**0.5
    return {"W_enc": W_enc / c, "b_enc": b_enc / c, "W_dec": W_dec * c}


@cheat.right
def by_one_over(W_enc, b_enc, W_dec, factor):
    c = 1 / factor
    return {"W_dec": W_dec / c, "b_enc": c * b_enc, "W_enc": c * W_enc}


@cheat.right
def with_a_diagonal(W_enc, b_enc, W_dec, factor):
    D = torch.eye(b_enc.shape[1]) / factor
    return {"W_enc": W_enc @ D, "b_enc": b_enc @ D, "W_dec": torch.linalg.inv(D) @ W_dec}


matrix = Answers("latent_map")


@matrix.wrong(says="u v^T")
def reads_with_v(u, v):
    return u[:, None] * v[None, :]


@matrix.wrong(says="u . v")
def takes_the_dot_product(u, v):
    return (u * v).sum()


@matrix.wrong(says="no matrix")
def multiplies_entries(u, v):
    return u * v


@matrix.right
def by_einsum(u, v):
    return torch.einsum("i,j->ij", v, u)


@matrix.right
def by_columns(u, v):
    return torch.stack([x * v for x in u], dim=1)


cosine = Answers("encoder_decoder_cosine")


@cosine.wrong(says="dot product")
def only_the_products(W_enc, W_dec):
    return torch.einsum("ids,isd->is", W_enc, W_dec)


@cosine.wrong(says="decoder's length only")
def trusts_the_encoder(W_enc, W_dec):
    return torch.einsum("ids,isd->is", W_enc, W_dec) / W_dec.norm(dim=2)


@cosine.wrong(says="one number for each instance")
def averages_latents(W_enc, W_dec):
    return torch.nn.functional.cosine_similarity(W_enc.mT, W_dec, dim=-1).mean(1)


@cosine.wrong(says="every latent against every other")
def all_pairs(W_enc, W_dec):
    return _unit(W_enc.mT) @ _unit(W_dec).mT


@cosine.wrong(says="transpose one with .mT")
def forgets_to_transpose(W_enc, W_dec):
    return torch.nn.functional.cosine_similarity(W_enc, W_dec, dim=-1)


@cosine.wrong(says="wrong axis")
def sums_over_the_latents(W_enc, W_dec):
    return torch.nn.functional.cosine_similarity(W_enc, W_dec.mT, dim=-1)


@cosine.wrong(says="reshaped")
def reshapes_the_encoder(W_enc, W_dec):
    return torch.nn.functional.cosine_similarity(W_enc.reshape(W_dec.shape), W_dec, dim=-1)


@cosine.right
def by_cosine_similarity(W_enc, W_dec):
    return torch.nn.functional.cosine_similarity(W_enc, W_dec.transpose(1, 2), dim=1)


@cosine.right
def by_diagonal(W_enc, W_dec):
    return (_unit(W_enc.mT) @ _unit(W_dec).mT).diagonal(dim1=1, dim2=2)


tied = Answers("tied_gradient")


@tied.wrong(says="encoder uses it too")
def only_the_decoder(grad_W_enc, grad_W_dec):
    return grad_W_dec


@tied.wrong(says="decoder uses it too")
def only_the_encoder(grad_W_enc, grad_W_dec):
    return grad_W_enc.mT


@tied.wrong(says="add up")
def averages_both(grad_W_enc, grad_W_dec):
    return 0.5 * (grad_W_dec + grad_W_enc.transpose(-1, -2))


@tied.wrong(says="reshaped")
def reshapes(grad_W_enc, grad_W_dec):
    return grad_W_dec + grad_W_enc.reshape(grad_W_dec.shape)


@tied.wrong(says="transpose one with .mT")
def adds_without_transposing(grad_W_enc, grad_W_dec):
    return grad_W_dec + grad_W_enc


@tied.right
def by_transpose(grad_W_enc, grad_W_dec):
    return grad_W_enc.transpose(1, 2) + grad_W_dec


@tied.right
def by_permute(grad_W_enc, grad_W_dec):
    return torch.stack([a.T + b for a, b in zip(grad_W_enc, grad_W_dec, strict=True)])


dead = Answers("dead_latents")


@dead.wrong(says="these are the latents that fire")
def returns_the_living(z):
    return (z > 0).flatten(0, 1).any(0)


@dead.wrong(says="last step")
def only_now(z):
    return z[-1].sum(0) == 0


@dead.wrong(says="silent on all")
def silent_once(z):
    return z.flatten(0, 1).amin(0) == 0


@dead.wrong(says="every step")
def silent_in_one_step(z):
    return (z == 0).all(1).any(0)


@dead.wrong(says="silent on all")
def silent_on_one_input_of_each_step(z):
    return (z == 0).any(1).all(0)


@dead.wrong(says="rarely and weakly")
def weak_is_dead(z):
    return z.mean(dim=(0, 1)) < 1e-2


@dead.wrong(says="instances were mixed")
def forgets_instances(z):
    return (z == 0).all(0).all(0).all(0)


@dead.right
def by_sum(z):
    return z.sum(dim=(0, 1)) == 0


@dead.right
def by_maximum(z):
    return ~(z.flatten(0, 1).max(dim=0).values > 0)


chances = Answers("resampling_probabilities")


@chances.wrong(says="worst input is always taken")
def only_the_worst(error, power):
    return torch.nn.functional.one_hot(error.argmax(0), len(error)).T.float()


@chances.wrong(says="do not square it again")
def squares_again(error, power):
    weight = (error**2) ** power
    return weight / weight.sum(0)


@chances.wrong(says="power is not used")
def forgets_the_power(error, power):
    return error / error.sum(dim=0, keepdim=True)


@chances.wrong(says="softmax")
def takes_a_softmax(error, power):
    return torch.softmax(error**power, dim=0)


@chances.wrong(says="wrong axis")
def sums_over_instances(error, power):
    weight = error**power
    return weight / weight.sum(dim=1, keepdim=True)


@chances.wrong(says="equally likely")
def uniform(error, power):
    return torch.ones_like(error) / error.shape[0]


@chances.wrong(says="root")
def takes_the_root(error, power):
    weight = error.sqrt() ** power
    return weight / weight.sum(0)


@chances.wrong(says="power comes too late")
def normalises_first(error, power):
    return (error / error.sum(0)) ** power


@chances.right
def by_logarithms(error, power):
    return torch.softmax(power * error.log(), dim=0)


@chances.right
def by_normalising(error, power):
    return torch.nn.functional.normalize(error.pow(power), p=1, dim=0)


rows = Answers("draw_rows")


@rows.wrong(says="most likely row is always taken")
def always_the_worst(probability, uniforms):
    return torch.full((len(uniforms),), int(probability.argmax()))


@rows.wrong(says="probability is not used")
def any_row(probability, uniforms):
    return (uniforms * len(probability)).floor().long()


@rows.wrong(says="one row too early")
def off_by_one(probability, uniforms):
    return torch.searchsorted(probability.cumsum(0), uniforms) - 1


@rows.wrong(says="given `uniforms`")
def rolls_its_own_dice(probability, uniforms):
    return torch.multinomial(probability, len(uniforms), replacement=True)


@rows.wrong(says="running sum")
def without_the_running_sum(probability, uniforms):
    return (uniforms[:, None] >= probability).sum(1)


@rows.wrong(says="running sum")
def searches_the_probabilities(probability, uniforms):
    return torch.searchsorted(probability, uniforms)


@rows.wrong(says="on an edge")
def searches_from_the_left(probability, uniforms):
    return torch.searchsorted(probability.cumsum(0), uniforms).clamp(max=len(probability) - 1)


@rows.wrong(says="on an edge")
def searches_from_the_left_without_a_clamp(probability, uniforms):
    return torch.searchsorted(probability.cumsum(0), uniforms)


@rows.wrong(says="clamp to the last row")
def does_not_clamp(probability, uniforms):
    return torch.searchsorted(probability.cumsum(0), uniforms, right=True)


@rows.right
def by_counting(probability, uniforms):
    return (uniforms[:, None] >= probability.cumsum(0)[None, :-1]).sum(1)


@rows.right
def by_bucketize(probability, uniforms):
    found = torch.bucketize(uniforms, torch.cumsum(probability, 0), right=True)
    return torch.minimum(found, torch.tensor(len(probability) - 1))


weights = Answers("resampled_weights")


def _put(W_enc, b_enc, W_dec, dead, directions, lengths):
    W_enc, b_enc, W_dec = W_enc.clone(), b_enc.clone(), W_dec.clone()
    for i, j in dead.nonzero().tolist():
        W_dec[i, j] = directions[i, j]
        W_enc[i, :, j] = directions[i, j] * lengths[i]
        b_enc[i, j] = 0.0
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec}


def _live_length(W_enc, dead):
    return [W_enc[i].norm(dim=0)[~dead[i]].mean() for i in range(len(dead))]


@weights.wrong(says="b_enc of the dead latents was kept")
def keeps_the_bias(W_enc, b_enc, W_dec, dead, directions, scale):
    new = _put(W_enc, b_enc, W_dec, dead, directions, [scale * x for x in _live_length(W_enc, dead)])
    return new | {"b_enc": b_enc}


@weights.wrong(says="live latents keep theirs")
def zeroes_every_bias(W_enc, b_enc, W_dec, dead, directions, scale):
    new = _put(W_enc, b_enc, W_dec, dead, directions, [scale * x for x in _live_length(W_enc, dead)])
    return new | {"b_enc": torch.zeros_like(b_enc)}


@weights.wrong(says="counts the dead latents too")
def averages_over_everybody(W_enc, b_enc, W_dec, dead, directions, scale):
    return _put(W_enc, b_enc, W_dec, dead, directions, scale * W_enc.norm(dim=1).mean(1))


@weights.wrong(says="scale is missing")
def forgets_the_scale(W_enc, b_enc, W_dec, dead, directions, scale):
    return _put(W_enc, b_enc, W_dec, dead, directions, _live_length(W_enc, dead))


@weights.wrong(says="live latents were changed")
def replaces_everything(W_enc, b_enc, W_dec, dead, directions, scale):
    lengths = [scale * x for x in _live_length(W_enc, dead)]
    return _put(W_enc, b_enc, W_dec, torch.ones_like(dead), directions, lengths)


@weights.wrong(says="decoder was scaled too")
def scales_both(W_enc, b_enc, W_dec, dead, directions, scale):
    new = _put(W_enc, b_enc, W_dec, dead, directions, [scale * x for x in _live_length(W_enc, dead)])
    new["W_dec"] = torch.where(dead.unsqueeze(-1), new["W_dec"] * scale, W_dec)
    return new


@weights.wrong(says="stays dead")
def only_the_decoder_moves(W_enc, b_enc, W_dec, dead, directions, scale):
    return _put(W_enc, b_enc, W_dec, dead, directions, [0.0] * len(dead)) | {"W_enc": W_enc}


@weights.right
def by_loop(W_enc, b_enc, W_dec, dead, directions, scale):
    return _put(W_enc, b_enc, W_dec, dead, directions, [scale * x for x in _live_length(W_enc, dead)])


@weights.right
def by_masks(W_enc, b_enc, W_dec, dead, directions, scale):
    mask, live = dead.float(), (~dead).float()
    mean = (W_enc.pow(2).sum(1).sqrt() * live).sum(1) / live.sum(1)
    new_enc = (directions * scale * mean[:, None, None]).transpose(1, 2)
    return {
        "W_enc": W_enc * live[:, None] + new_enc * mask[:, None],
        "W_dec": W_dec * live[..., None] + directions * mask[..., None],
        "b_enc": b_enc * live,
    }


moments = Answers("reset_moments")


@moments.wrong(says="not reset")
def does_nothing(m, v, dead):
    return m, v


@moments.wrong(says="only the first moment")
def only_the_first(m, v, dead):
    return torch.where(dead[:, None, :], torch.zeros_like(m), m), v


@moments.wrong(says="all moments are reset")
def resets_everything(m, v, dead):
    return torch.zeros_like(m), torch.zeros_like(v)


@moments.wrong(says="live latents lost")
def resets_the_living(m, v, dead):
    return m * dead[:, None], v * dead[:, None]


@moments.wrong(says="in place")
def works_in_place(m, v, dead):
    m.masked_fill_(dead[:, None], 0.0)
    v.masked_fill_(dead[:, None], 0.0)
    return m, v


@moments.right
def by_multiplying(m, v, dead):
    keep = (~dead).float()[:, None, :]
    return m * keep, v * keep


@moments.right
def by_indexing(m, v, dead):
    m, v = m.clone(), v.clone()
    m.mT[dead] = 0.0
    v.mT[dead] = 0.0
    return m, v


band = Answers("paired_interval")


def _around(gain, half):
    return float(gain.mean()), float(gain.mean() - half), float(gain.mean() + half)


@band.wrong(says="unrelated")
def as_if_unrelated(with_it, without, t):
    spread = (with_it.var() / len(with_it) + without.var() / len(without)) ** 0.5
    return _around(with_it - without, t * spread)


@band.wrong(says="spreads were added")
def adds_the_spreads(with_it, without, t):
    half = t * (with_it.std() + without.std()) / math.sqrt(len(with_it))
    return _around(with_it - without, half)


@band.wrong(says="single seeds")
def forgets_the_root_of_n(with_it, without, t):
    return _around(with_it - without, t * (with_it - without).std())


@band.wrong(says="n - 1")
def population_spread(with_it, without, t):
    gain = with_it - without
    return _around(gain, t * gain.std(unbiased=False) / math.sqrt(len(gain)))


@band.wrong(says="one standard error")
def forgets_t(with_it, without, t):
    gain = with_it - without
    return _around(gain, gain.std() / math.sqrt(len(gain)))


@band.wrong(says="wrong way round")
def without_minus_with(with_it, without, t):
    gain = without - with_it
    return _around(gain, t * gain.std() / math.sqrt(len(gain)))


@band.right
def by_variance(with_it, without, t):
    gain = with_it - without
    half = t * (gain.var() / len(gain)).sqrt()
    return torch.stack([gain.mean(), gain.mean() - half, gain.mean() + half])


@band.right
def by_numpy(with_it, without, t):
    gain = (with_it - without).numpy()
    half = t * gain.std(ddof=1) / len(gain) ** 0.5
    return [gain.mean(), gain.mean() - half, gain.mean() + half]


topk = Answers("topk_latents")


@topk.wrong(says="negative entry")
def forgets_relu(pre, k):
    top = pre.topk(k)
    return torch.zeros_like(pre).scatter(1, top.indices, top.values)


@topk.wrong(says="absolute value")
def largest_in_size(pre, k):
    indices = pre.abs().topk(k).indices
    return torch.zeros_like(pre).scatter(1, indices, pre.gather(1, indices)).relu()


@topk.wrong(says="BatchTopK")
def over_the_batch(pre, k):
    cut = pre.relu().flatten().topk(k * pre.shape[0]).values[-1]
    return torch.where(pre >= cut, pre.relu(), torch.zeros_like(pre))


@topk.wrong(says="put them back")
def only_the_values(pre, k):
    return torch.relu(pre.topk(k, dim=-1).values)


@topk.wrong(says="k - 1")
def strictly_above_the_kth(pre, k):
    kth = pre.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return torch.where(pre > kth, pre, torch.zeros_like(pre)).relu()


@topk.right
def by_threshold(pre, k):
    kth = pre.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return pre.relu() * (pre >= kth)


@topk.right
def by_rank(pre, k):
    rank = pre.argsort(dim=-1, descending=True).argsort(dim=-1)
    return torch.where(rank < k, pre.clamp(min=0), 0.0)

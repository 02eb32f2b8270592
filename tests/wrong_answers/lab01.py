"""Lab 01's answers."""

import math

import torch
from answers import Answers
from torch.nn import functional as F

# LayerNorm

norm = Answers("layer_norm")


@norm.wrong(says="inside the root")
def eps_outside_the_root(x, w, b, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, unbiased=False) + eps) * w + b


@norm.wrong(says="d_model - 1")
def unbiased_variance(x, w, b, eps):
    return (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(x.var(dim=-1, keepdim=True) + eps) * w + b


@norm.wrong(says="two things")
def std_plus_eps(x, w, b, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) * w + b


@norm.wrong(says="without a dim")
def mean_without_a_dim(x, w, b, eps):
    return (x - x.mean()) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * w + b


@norm.wrong(says="variance runs over everything")
def variance_without_a_dim(x, w, b, eps):
    return (x - x.mean(-1, keepdim=True)) / (x.var(correction=0) + eps).sqrt() * w + b


@norm.wrong(says="gain w is missing")
def forgets_the_gain(x, w, b, eps):
    return F.layer_norm(x, x.shape[-1:], None, None, eps) + b


@norm.wrong(says="bias b is missing")
def forgets_the_bias(x, w, b, eps):
    return F.layer_norm(x, x.shape[-1:], w, None, eps)


@norm.wrong(says="the one that is passed")
def types_its_own_eps(x, w, b, eps):
    return F.layer_norm(x, x.shape[-1:], w, b, 1e-5)


@norm.wrong(says="mean is not subtracted")
def divides_only(x, w, b, eps):
    return x / (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt() * w + b


@norm.wrong(says="over everything")
def norms_the_whole_batch(x, w, b, eps):
    return (x - x.mean()) / (x.var(unbiased=False) + eps).sqrt() * w + b


@norm.wrong(says="positions")
def norms_over_positions(x, w, b, eps):
    return (x - x.mean(-2, keepdim=True)) / (x.var(-2, keepdim=True, unbiased=False) + eps).sqrt() * w + b


@norm.wrong(says="entries are wrong")
def mean_square_for_variance(x, w, b, eps):  # not listed in the judge: fails all the same
    return (x - x.mean(-1, keepdim=True)) / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w + b


@norm.right
def layer_norm_by_library(x, w, b, eps):
    return F.layer_norm(x, (x.shape[-1],), w, b, eps)


@norm.right
def layer_norm_by_rsqrt(x, w, b, eps):
    mean = x.mean(-1, keepdim=True)
    square = (x * x).mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt(square - mean**2 + eps) * w + b


rms = Answers("rms_norm")


@rms.wrong(says="inside the root")
def rms_eps_outside(x, w, eps):
    return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * w


@rms.wrong(says="does not subtract the mean")
def rms_centred(x, w, eps):
    return F.layer_norm(x, x.shape[-1:], w, None, eps)


@rms.wrong(says="mean of the squares")
def rms_by_length(x, w, eps):
    return x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt() * w


@rms.wrong(says="take its root")
def rms_without_root(x, w, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps) * w


@rms.wrong(says="Gemma")
def rms_of_gemma(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (1 + w)


@rms.right
def rms_by_library(x, w, eps):
    return F.rms_norm(x, (x.shape[-1],), w, eps)


@rms.right
def rms_by_norm(x, w, eps):
    return w * x / torch.sqrt(x.norm(dim=-1, keepdim=True) ** 2 / x.shape[-1] + eps)


# Attention

head = Answers("attention_head")


def _head(x, W_Q, b_Q, W_K, b_K, W_V, b_V, scale=None, mask=None, dim=-1):
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    scores = torch.einsum("bqe,bke->bqk", q, k) / (scale or math.sqrt(W_Q.shape[1]))
    ones = torch.ones(x.shape[1], x.shape[1])
    pattern = scores.masked_fill((ones.triu(1) if mask is None else mask(ones)).bool(), -torch.inf).softmax(dim)
    return pattern, pattern @ v


@head.wrong(says="sqrt(d_model)")
def scaled_by_d_model(x, *weights):
    return _head(x, *weights, scale=math.sqrt(x.shape[-1]))


@head.wrong(says="not scaled")
def unscaled(x, *weights):
    return _head(x, *weights, scale=1.0)


@head.wrong(says="take its root")
def divided_by_d_head(x, W_Q, *weights):
    return _head(x, W_Q, *weights, scale=W_Q.shape[1])


@head.wrong(says="sees the next token")
def mask_one_late(x, *weights):
    return _head(x, *weights, mask=lambda ones: ones.triu(2))


@head.wrong(says="no causal mask")
def mask_forgotten(x, *weights):
    return _head(x, *weights, mask=lambda ones: 0 * ones)


@head.wrong(says="NaN")
def mask_one_early(x, *weights):
    return _head(x, *weights, mask=lambda ones: ones.triu(0))


@head.wrong(says="its own position")
def mask_one_early_with_a_large_number(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    scores = q @ k.transpose(-1, -2) / W_Q.shape[1] ** 0.5 - 1e9 * torch.ones(x.shape[1], x.shape[1]).triu(0)
    return scores.softmax(-1), scores.softmax(-1) @ v


@head.wrong(says="shows the future")
def mask_the_wrong_way(x, *weights):
    return _head(x, *weights, mask=lambda ones: ones.tril(-1))


@head.wrong(says="runs over queries")
def softmax_over_queries(x, *weights):
    return _head(x, *weights, dim=-2)


@head.wrong(says="use -inf")
def masked_with_zero(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    pattern = (q @ k.transpose(1, 2) / W_Q.shape[1] ** 0.5).tril().softmax(-1)
    return pattern, pattern @ v


@head.wrong(says="after the softmax")
def masked_after_softmax(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    pattern = (q @ k.transpose(1, 2) / W_Q.shape[1] ** 0.5).softmax(-1).tril()
    return pattern, pattern @ v


@head.wrong(says="biases are missing")
def without_biases(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    return _head(x, W_Q, 0 * b_Q, W_K, 0 * b_K, W_V, 0 * b_V)


@head.wrong(says="bias b_V is missing")
def without_value_bias(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    return _head(x, W_Q, b_Q, W_K, b_K, W_V, 0 * b_V)


@head.wrong(says="swapped")
def keys_ask(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    return _head(x, W_K, b_K, W_Q, b_Q, W_V, b_V)


@head.wrong(says="return 2 things")
def only_z(x, *weights):
    return _head(x, *weights)[1]


@head.right
def head_by_library(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    q, k, v = F.linear(x, W_Q.T, b_Q), F.linear(x, W_K.T, b_K), F.linear(x, W_V.T, b_V)
    here = torch.eye(x.shape[1]).expand(x.shape[0], -1, -1)
    pattern = F.scaled_dot_product_attention(q, k, here, is_causal=True)
    return pattern, F.scaled_dot_product_attention(q, k, v, is_causal=True)


@head.right
def head_by_query(x, W_Q, b_Q, W_K, b_K, W_V, b_V):
    q, k, v = x @ W_Q + b_Q, x @ W_K + b_K, x @ W_V + b_V
    pattern = torch.zeros(x.shape[0], x.shape[1], x.shape[1])
    for i in range(x.shape[1]):
        pattern[:, i, : i + 1] = (torch.einsum("be,bke->bk", q[:, i], k[:, : i + 1]) / k.shape[-1] ** 0.5).softmax(-1)
    return pattern, torch.einsum("bqk,bke->bqe", pattern, v)


heads = Answers("multi_head")


@heads.wrong(says="b_O is missing")
def forgets_b_O(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, writes.sum(0)


@heads.wrong(says="once for each head")
def bias_for_each_head(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, (writes + b_O).sum(0)


@heads.wrong(says="heads add")
def mean_over_heads(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, writes.mean(0) + b_O


@heads.wrong(says="not any head's write")
def bias_in_the_writes(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O) + b_O
    return writes, writes.sum(0) - (len(W_O) - 1) * b_O


@heads.wrong(says="heads come first")
def heads_third(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->bphd", z, W_O)
    return writes, writes.sum(2) + b_O


@heads.wrong(says="interleaved")
def rows_interleaved(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, z.permute(0, 1, 3, 2).reshape(*z.shape[:2], -1) @ W_O.reshape(-1, W_O.shape[-1]) + b_O


@heads.wrong(says="a W_O of its own")
def sums_z_first(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, z.sum(2) @ W_O.sum(0) + b_O


@heads.right
def by_einsum(z, W_O, b_O):
    writes = torch.einsum("bphe,hed->hbpd", z, W_O)
    return writes, b_O + torch.einsum("bphe,hed->bpd", z, W_O)


@heads.right
def by_concatenation(z, W_O, b_O):
    return z.permute(2, 0, 1, 3) @ W_O[:, None], z.reshape(*z.shape[:2], -1) @ W_O.reshape(-1, W_O.shape[-1]) + b_O


# The block and the whole

block = Answers("transformer_block")


def _norm(x, W, name, eps=None):
    return F.layer_norm(x, x.shape[-1:], W[f"{name}_w"], W[f"{name}_b"], W["eps"] if eps is None else eps)


def _attention(n, W):
    out = W["b_O"]
    for h in range(len(W["W_O"])):
        weights = (W[f"{kind}_{letter}"][h] for letter in "QKV" for kind in "Wb")
        out = out + _head(n, *weights)[1] @ W["W_O"][h]
    return out


def _mlp(n, W, act=F.gelu):
    return act(n @ W["W_in"] + W["b_in"]) @ W["W_out"] + W["b_out"]


@block.wrong(says="post-norm")
def post_norm(x, W):
    x = _norm(x + _attention(x, W), W, "ln1")
    return _norm(x + _mlp(x, W), W, "ln2")


@block.wrong(says="normed stream")
def adds_to_the_normed_stream(x, W):
    x = _norm(x, W, "ln1")
    x = x + _attention(x, W)
    x = _norm(x, W, "ln2")
    return x + _mlp(x, W)


@block.wrong(says="as ln1 left it")
def overwrites_x_with_ln1(x, W):
    x = _norm(x, W, "ln1")
    x = x + _attention(x, W)
    return x + _mlp(_norm(x, W, "ln2"), W)


@block.wrong(says="as ln2 left it")
def overwrites_x_with_ln2(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W)
    x = _norm(x, W, "ln2")
    return x + _mlp(x, W)


@block.wrong(says="MLP's skip is missing")
def forgets_the_second_skip(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W)
    return _mlp(_norm(x, W, "ln2"), W)


@block.wrong(says="both skips are missing")
def no_skips(x, W):
    return _mlp(_norm(_attention(_norm(x, W, "ln1"), W), W, "ln2"), W)


@block.wrong(says="block's input")
def parallel(x, W):
    return x + _attention(_norm(x, W, "ln1"), W) + _mlp(_norm(x, W, "ln2"), W)


@block.wrong(says="norms are missing")
def no_norms(x, W):
    x = x + _attention(x, W)
    return x + _mlp(x, W)


@block.wrong(says="ln1 and ln2 are swapped")
def norms_swapped(x, W):
    x = x + _attention(_norm(x, W, "ln2"), W)
    return x + _mlp(_norm(x, W, "ln1"), W)


@block.wrong(says="ReLU")
def relu_for_gelu(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W)
    return x + _mlp(_norm(x, W, "ln2"), W, F.relu)


@block.wrong(says="tanh form")
def gelu_by_tanh(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W)
    return x + _mlp(_norm(x, W, "ln2"), W, lambda h: F.gelu(h, approximate="tanh"))


@block.wrong(says="b_O is missing")
def block_forgets_b_O(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W) - W["b_O"]
    return x + _mlp(_norm(x, W, "ln2"), W)


@block.wrong(says="use block['eps']")
def block_with_its_own_eps(x, W):
    x = x + _attention(_norm(x, W, "ln1", 1e-5), W)
    return x + _mlp(_norm(x, W, "ln2", 1e-5), W)


@block.wrong(says="entries are wrong")
def mlp_first(x, W):  # not listed in the judge
    x = x + _mlp(_norm(x, W, "ln2"), W)
    return x + _attention(_norm(x, W, "ln1"), W)


@block.wrong(says="in place")
def block_in_place(x, W):
    x += _attention(_norm(x, W, "ln1"), W)
    return x + _mlp(_norm(x, W, "ln2"), W)


@block.right
def block_in_two_lines(x, W):
    x = x + _attention(_norm(x, W, "ln1"), W)
    return x + _mlp(_norm(x, W, "ln2"), W)


@block.right
def block_with_all_heads_at_once(x, W):
    n = _norm(x, W, "ln1")
    q, k, v = (torch.einsum("bpd,hde->bhpe", n, W[f"W_{c}"]) + W[f"b_{c}"].unsqueeze(1) for c in "QKV")
    z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    mid = x + z.transpose(1, 2).flatten(2) @ W["W_O"].flatten(0, 1) + W["b_O"]
    hidden = F.gelu(F.linear(_norm(mid, W, "ln2"), W["W_in"].T, W["b_in"]))
    return mid + F.linear(hidden, W["W_out"].T, W["b_out"])


whole = Answers("forward")


def _forward(tokens, W, positions=None, last=True, bias=True, blocks=None):
    x = W["W_E"][tokens] + (W["W_pos"][: tokens.shape[1]] if positions is None else positions)
    for weights in W["blocks"] if blocks is None else blocks:
        x = block_in_two_lines(x, weights)
    x = F.layer_norm(x, x.shape[-1:], W["ln_final_w"], W["ln_final_b"], W["eps"]) if last else x
    return x @ W["W_U"] + (W["b_U"] if bias else 0)


@whole.wrong(says="W_pos are not added")
def forgets_positions(tokens, W):
    return _forward(tokens, W, positions=0)


@whole.wrong(says="start at 1")
def positions_from_one(tokens, W):
    return _forward(tokens, W, positions=W["W_pos"][1 : tokens.shape[1] + 1])


@whole.wrong(says="ln_final")
def forgets_the_last_norm(tokens, W):
    return _forward(tokens, W, last=False)


@whole.wrong(says="b_U is missing")
def forgets_b_U(tokens, W):
    return _forward(tokens, W, bias=False)


@whole.wrong(says="return the logits")
def returns_log_probabilities(tokens, W):
    return _forward(tokens, W).log_softmax(-1)


@whole.wrong(says="last to first")
def blocks_backwards(tokens, W):
    return _forward(tokens, W, blocks=W["blocks"][::-1])


@whole.wrong(says="only the first block")
def returns_inside_the_loop(tokens, W):
    return _forward(tokens, W, blocks=W["blocks"][:1])


@whole.wrong(says="entries are wrong")
def same_block_twice(tokens, W):  # not listed in the judge
    return _forward(tokens, W, blocks=[W["blocks"][0], W["blocks"][0]])


@whole.right
def forward_by_functions(tokens, W):
    return _forward(tokens, W)


@whole.right
def forward_one_sequence_at_a_time(tokens, W):
    out = []
    for sequence in tokens:
        x = (F.embedding(sequence, W["W_E"]) + W["W_pos"][torch.arange(len(sequence))])[None]
        for weights in W["blocks"]:
            x = block_with_all_heads_at_once(x, weights)
        n = layer_norm_by_rsqrt(x, W["ln_final_w"], W["ln_final_b"], W["eps"])
        out.append(F.linear(n, W["W_U"].T, W["b_U"])[0])
    return torch.stack(out)


# Reading the sum

lens = Answers("logit_lens")


def _logits(x, w, b, eps, W_U, b_U):
    return F.layer_norm(x, x.shape[-1:], w, b, eps) @ W_U + b_U


@lens.wrong(says="those are logits")
def lens_logits(*args):
    return _logits(*args)


@lens.wrong(says="those are probabilities")
def lens_probabilities(*args):
    return _logits(*args).softmax(-1)


@lens.wrong(says="softmax of a softmax")
def two_softmaxes(*args):
    return F.log_softmax(F.softmax(_logits(*args), dim=-1), dim=-1)


@lens.wrong(says="last norm")
def lens_without_norm(x, w, b, eps, W_U, b_U):
    return (x @ W_U + b_U).log_softmax(-1)


@lens.wrong(says="over positions")
def softmax_over_positions(*args):
    return _logits(*args).log_softmax(1)


@lens.wrong(says="over layers")
def softmax_over_layers(*args):
    return _logits(*args).log_softmax(0)


@lens.wrong(says="b_U is missing")
def lens_without_b_U(x, w, b, eps, W_U, b_U):
    return _logits(x, w, b, eps, W_U, 0).log_softmax(-1)


@lens.wrong(says="entries are wrong")
def log_of_the_wrong_base(*args):  # not listed in the judge
    shifted = _logits(*args)
    return shifted - shifted.max(-1, keepdim=True).values


@lens.right
def lens_by_logsumexp(*args):
    logits = _logits(*args)
    return logits - logits.logsumexp(-1, keepdim=True)


@lens.right
def lens_layer_by_layer(x, *args):
    return torch.stack([_logits(state, *args).softmax(-1).log() for state in x])


dla = Answers("direct_logit_attribution")


def _dla(parts, w, b, eps, W_U, b_U, scale=None, centre=True, row=None):
    total = parts.sum(0)
    scale = (total.var(-1, keepdim=True, unbiased=False) + eps).sqrt() if scale is None else scale
    p = parts - parts.mean(-1, keepdim=True) if centre else parts
    row = b @ W_U + b_U if row is None else row
    return torch.cat([(p / scale * w) @ W_U, row.repeat(1, parts.shape[1], 1)])


@dla.wrong(says="a scale of its own")
def scale_for_each_part(parts, w, b, eps, W_U, b_U):
    own = (parts.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    return _dla(parts, w, b, eps, W_U, b_U, scale=own)


@dla.wrong(says="whole norm")
def norm_of_each_part(parts, w, b, eps, W_U, b_U):
    shares = F.layer_norm(parts, parts.shape[-1:], w, b, eps) @ W_U
    return torch.cat([shares, (b @ W_U + b_U).expand(1, parts.shape[1], -1)])


@dla.wrong(says="means are not subtracted")
def parts_not_centred(*args):
    return _dla(*args, centre=False)


@dla.wrong(says="not divided")
def scale_forgotten(*args):
    return _dla(*args, scale=1.0)


@dla.wrong(says="lacks b_U")
def dla_without_b_U(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U, row=b @ W_U)


@dla.wrong(says="lacks b @ W_U")
def dla_without_norm_bias(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U, row=b_U)


@dla.wrong(says="gain w is missing")
def dla_without_gain(parts, w, b, eps, W_U, b_U):
    return _dla(parts, torch.ones_like(w), b, eps, W_U, b_U)


@dla.wrong(says="count once for each writer")
def biases_in_every_row(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U)[:-1] + b @ W_U + b_U


@dla.wrong(says="norm's bias b is in every row")
def norm_bias_in_every_row(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U)[:-1] + b @ W_U


@dla.wrong(says="b_U is in every row")
def output_bias_in_every_row(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U)[:-1] + b_U


@dla.wrong(says="biases' row is missing")
def dla_without_bias_row(*args):
    return _dla(*args)[:-1]


@dla.wrong(says="not a mean of squares")
def scale_by_root_mean_square(parts, w, b, eps, W_U, b_U):
    return _dla(parts, w, b, eps, W_U, b_U, scale=(parts.sum(0).pow(2).mean(-1, keepdim=True) + eps).sqrt())


@dla.wrong(says="entries are wrong")
def unbiased_scale(parts, w, b, eps, W_U, b_U):  # not listed in the judge
    return _dla(parts, w, b, eps, W_U, b_U, scale=(parts.sum(0).var(-1, keepdim=True) + eps).sqrt())


@dla.wrong(says="entries are wrong")
def shares_out_evenly(parts, w, b, eps, W_U, b_U):  # sums to the logits, and is wrong
    shares = _dla(parts, w, b, eps, W_U, b_U)
    return shares.mean(0, keepdim=True).expand_as(shares)


@dla.right
def dla_by_functions(*args):
    return _dla(*args)


@dla.right
def dla_by_autograd(parts, w, b, eps, W_U, b_U):
    total = parts.sum(0)
    scale = (total.var(-1, keepdim=True, correction=0) + eps).sqrt()

    def read(x):
        return (x - x.mean(-1, keepdim=True)) / scale * w @ W_U + b @ W_U + b_U

    nothing = read(torch.zeros_like(total))
    return torch.stack([*(read(part) - nothing for part in parts), nothing])


# The Jacobian

jacobian = Answers("block_jacobian")


@jacobian.wrong(says="I + J_F")
def forgets_the_identity(x, W_in, b_in, W_out, skip):
    return ((W_in * (x @ W_in + b_in > 0)) @ W_out).T


@jacobian.wrong(says="without a skip")
def always_the_identity(x, W_in, b_in, W_out, skip):
    return torch.eye(len(x)) + ((W_in * (x @ W_in + b_in > 0)) @ W_out).T


@jacobian.wrong(says="transposed")
def jacobian_transposed(x, W_in, b_in, W_out, skip):
    return skip * torch.eye(len(x)) + (W_in * (x @ W_in + b_in > 0)) @ W_out


@jacobian.wrong(says="neurons that are off")
def jacobian_without_gate(x, W_in, b_in, W_out, skip):
    return skip * torch.eye(len(x)) + (W_in @ W_out).T


@jacobian.wrong(says="missing (neurons that are off pass nothing), and the result is transposed")
def no_gate_and_transposed(x, W_in, b_in, W_out, skip):
    M = W_in @ W_out
    return M + torch.eye(len(x)) if skip else M


@jacobian.wrong(says="derivative and the identity are missing")
def no_gate_and_no_identity(x, W_in, b_in, W_out, skip):
    return (W_in @ W_out).T


@jacobian.wrong(says="there without a skip")
def no_gate_and_always_the_identity(x, W_in, b_in, W_out, skip):
    return (W_in @ W_out).T + torch.eye(len(x))


@jacobian.wrong(says="neurons' values (ReLU's derivative is 1 or 0), and")
def values_for_gate_and_transposed(x, W_in, b_in, W_out, skip):
    return skip * torch.eye(len(x)) + (W_in * (x @ W_in + b_in).relu()) @ W_out


@jacobian.wrong(says="identity is missing, and the result is transposed")
def no_identity_and_transposed(x, W_in, b_in, W_out, skip):
    return (W_in * (x @ W_in + b_in > 0)) @ W_out


@jacobian.wrong(says="neurons' values")
def gated_by_values(x, W_in, b_in, W_out, skip):
    return skip * torch.eye(len(x)) + (W_in * (x @ W_in + b_in).relu() @ W_out).T


@jacobian.wrong(says="b_in decides")
def gate_without_bias(x, W_in, b_in, W_out, skip):
    return skip * torch.eye(len(x)) + (W_in * (x @ W_in > 0) @ W_out).T


@jacobian.wrong(says="entries are wrong")
def identity_everywhere(x, W_in, b_in, W_out, skip):  # not listed in the judge: adds 1 to every entry
    return float(skip) + (W_in * (x @ W_in + b_in > 0) @ W_out).T + (0.0 if skip else 1.0)


@jacobian.right
def jacobian_by_autograd(x, W_in, b_in, W_out, skip):
    return torch.autograd.functional.jacobian(lambda v: (v if skip else 0) + (v @ W_in + b_in).relu() @ W_out, x)


@jacobian.right
def jacobian_neuron_by_neuron(x, W_in, b_in, W_out, skip):
    J = torch.eye(len(x)) if skip else torch.zeros(len(x), len(x))
    for neuron in range(len(b_in)):
        if x @ W_in[:, neuron] + b_in[neuron] > 0:
            J = J + torch.outer(W_out[neuron], W_in[:, neuron])
    return J


# Bases

fold = Answers("fold_layer_norm")


@fold.wrong(says="mean is not folded")
def fold_without_centring(gain, bias, W, b):
    return gain[:, None] * W, b + bias @ W


@fold.wrong(says="gain is not folded")
def fold_without_gain(gain, bias, W, b):
    return W - W.mean(-2, keepdim=True), b + bias @ W


@fold.wrong(says="fold the gain first")
def fold_centres_first(gain, bias, W, b):
    return gain[:, None] * (W - W.mean(-2, keepdim=True)), b + bias @ W


@fold.wrong(says="down each column")
def fold_centres_rows(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(-1, keepdim=True), b + bias @ W


@fold.wrong(says="b' = b + bias @ W")
def fold_without_bias(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True), b


@fold.wrong(says="own b is lost")
def fold_loses_b(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True), bias @ W


@fold.wrong(says="gain does not multiply it")
def fold_bias_through_the_gained(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True), b + bias @ gained


@fold.wrong(says="through the old W")
def fold_bias_through_the_new_W(gain, bias, W, b):
    gained = gain[:, None] * W
    new = gained - gained.mean(-2, keepdim=True)
    return new, b + bias @ new


@fold.wrong(says="mean(0) runs over heads")
def fold_mean_over_dimension_0(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(0), b + bias @ W


@fold.wrong(says="W': ")
def fold_divides_by_the_gain(gain, bias, W, b):  # not listed in the judge; the message names the entry
    gained = W / gain[:, None]
    return gained - gained.mean(-2, keepdim=True), b + bias @ W


@fold.wrong(says="(W', b')")
def fold_returns_W_alone(gain, bias, W, b):
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True)


@fold.wrong(says="RuntimeError")
def fold_gain_on_columns(gain, bias, W, b):
    gained = gain * W
    return gained - gained.mean(-2, keepdim=True), b + bias @ W


@fold.wrong(says="b': ")
def fold_centred_bias(gain, bias, W, b):  # not listed in the judge
    gained = gain[:, None] * W
    return gained - gained.mean(-2, keepdim=True), b + (bias - bias.mean()) @ W


@fold.right
def fold_by_matrices(gain, bias, W, b):
    centre = torch.eye(len(gain)) - 1 / len(gain)
    return centre @ torch.diag(gain) @ W, b + torch.einsum("d,...dn->...n", bias, W)


@fold.right
def fold_by_einsum(gain, bias, W, b):
    gained = torch.einsum("d,...dn->...dn", gain, W)
    return gained - torch.einsum("d,...dn->...n", gain, W).unsqueeze(-2) / len(gain), (bias[:, None] * W).sum(-2) + b


rotate = Answers("rotate_stream")


def _rotate(block, R, read, write, biases=True):
    new = dict(block)
    for name in ("W_O", "W_out", *(("b_O", "b_out") if biases else ())):
        new[name] = block[name] @ write
    for name in ("W_Q", "W_K", "W_V", "W_in"):
        new[name] = read @ block[name]
    return new


@rotate.wrong(says="undo the rotation")
def readers_by_R(block, R):
    return _rotate(block, R, R, R)


@rotate.wrong(says="write in the new basis")
def writers_by_the_inverse(block, R):
    return _rotate(block, R, R.T, R.T)


@rotate.wrong(says="b_O and b_out")
def writers_biases_forgotten(block, R):
    return _rotate(block, R, R.T, R, biases=False)


@rotate.wrong(says="readers are not rotated")
def writers_only(block, R):
    return _rotate(block, R, torch.eye(len(R)), R)


@rotate.wrong(says="RuntimeError")
def the_notes_mixed_conventions(block, R):
    return block | {name: block[name] @ torch.linalg.inv(R) for name in ("W_Q", "W_K", "W_V", "W_in")}


@rotate.wrong(says="lacks b_in")
def forgets_the_rest(block, R):
    new = _rotate(block, R, R.T, R)
    return {
        name: new[name] for name in ("W_O", "b_O", "W_out", "b_out", "W_Q", "W_K", "W_V", "W_in", "b_Q", "b_K", "b_V")
    }


@rotate.wrong(says="in place")
def rotates_in_place(block, R):
    block.update(_rotate(block, R, R.T, R))
    return block


@rotate.right
def rotate_with_inverse(block, R):
    return _rotate(block, R, torch.linalg.inv(R), R)


@rotate.right
def rotate_by_einsum(block, R):
    new = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in block.items()}
    for name in ("W_Q", "W_K", "W_V", "W_in"):
        new[name] = torch.einsum("de,...dn->...en", R, block[name])
    for name in ("W_O", "W_out", "b_O", "b_out"):
        new[name] = torch.einsum("...d,de->...e", block[name], R)
    return new


relu = Answers("relu_in_rotated_basis")
ROOT = math.sqrt(2)


@relu.wrong(says="x' and y' themselves")
def relu_of_the_new_coordinates(x_new, y_new):
    return F.relu(x_new), F.relu(y_new)


@relu.wrong(says="into the new basis again")
def forgets_the_way_back(x_new, y_new):
    return F.relu((x_new + y_new) / ROOT), F.relu((x_new - y_new) / ROOT)


@relu.wrong(says="a factor 2 is missing")
def forgets_both_roots(x_new, y_new):
    x, y = F.relu(x_new + y_new), F.relu(x_new - y_new)
    return x + y, x - y


@relu.wrong(says="a factor sqrt(2) is missing")
def forgets_one_root(x_new, y_new):
    x, y = F.relu(x_new + y_new), F.relu(x_new - y_new)
    return (x + y) / ROOT, (x - y) / ROOT


@relu.wrong(says="swapped")
def returns_them_swapped(x_new, y_new):
    x, y = F.relu(x_new + y_new), F.relu(x_new - y_new)
    return (x - y) / 2, (x + y) / 2


@relu.wrong(says="entries are wrong")
def leaves_the_negative(x_new, y_new):  # not listed in the judge
    x, y = F.leaky_relu(x_new + y_new), F.leaky_relu(x_new - y_new)
    return (x + y) / 2, (x - y) / 2


@relu.right
def by_the_notes_formula(x_new, y_new):
    a, b = torch.clamp(x_new + y_new, min=0), torch.clamp(x_new - y_new, min=0)
    return (a + b) / 2, (a - b) / 2


@relu.right
def by_a_matrix(x_new, y_new):
    Q = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / ROOT
    out = (torch.stack([x_new, y_new], dim=1) @ Q).relu() @ Q
    return out[:, 0], out[:, 1]

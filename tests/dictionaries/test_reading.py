"""Reading a dictionary: places, direct effects, gradients and interventions, each against another way to get it."""

import pytest
import torch

from labs_src import models
from labs_src.dictionaries import gemma_scope, labelling, reading
from labs_src.language import corpus

HOOK, LAST = "blocks.2.hook_resid_post", "blocks.5.hook_resid_post"


@pytest.fixture(scope="module")
def model():
    return models.load("mini-gemma").model


@pytest.fixture(scope="module")
def text():
    return corpus.sequences("validation", 4, seed=11, length=40)


@pytest.fixture(scope="module")
def dictionary():
    g = torch.Generator().manual_seed(0)
    D = torch.randn(50, 128, generator=g)
    D /= D.norm(dim=1, keepdim=True)
    return gemma_scope.Dictionary(
        D.T.contiguous(), torch.zeros(50), torch.full((50,), 0.5), D, torch.randn(128, generator=g), HOOK
    )


def test_activations_do_not_depend_on_chunks(model, text):
    one = reading.activations(model, HOOK, text.ids, chunk=1)
    assert one.shape == (4, 40, 128)
    assert torch.allclose(one, reading.activations(model, HOOK, text.ids), atol=1e-4)


def test_top_places_take_one_per_sequence_and_skip_bos_and_silence():
    z = torch.zeros(4, 5)
    z[0, 0], z[0, 2], z[1, 3], z[1, 4], z[2, 1] = 9.0, 1.0, 2.0, 5.0, 3.0
    assert reading.top_places(z, 9).tolist() == [[1, 4], [2, 1], [0, 2]]
    assert reading.top_places(z, 1).tolist() == [[1, 4]]


def test_quantiles_are_those_of_the_firings():
    z = torch.zeros(3, 5)
    z[0, 0], z[0, 1], z[1, 2], z[2, 4] = 9.0, 3.0, 1.0, 2.0
    assert reading.quantile_places(z, [0.0, 0.5, 1.0]).tolist() == [[1, 2], [2, 4], [0, 1]]
    with pytest.raises(ValueError, match="never fires"):
        reading.quantile_places(torch.zeros(2, 3), [0.5])


def test_contexts_are_cut_at_the_ends():
    z, words = torch.arange(12.0).view(2, 6), [list("abcdef"), list("ghijkl")]
    first, second = reading.contexts(z, words, torch.tensor([[0, 1], [1, 5]]), before=2, after=1)
    assert (first.words, first.at) == (["b", "c"], 0)
    assert (second.words, second.activations, second.at) == (["j", "k", "l"], [9.0, 10.0, 11.0], 2)


def test_direct_effects_are_exact_after_the_last_block(model, text, dictionary):
    """There the model is norm, unembedding and softcap: undo the softcap and the rms, and the table is what is left."""
    x = reading.activations(model, LAST, text.ids)
    cap = model.original_model.config.final_logit_softcapping
    eps = model.original_model.config.rms_norm_eps

    def uncapped(x):
        return (
            cap
            * torch.atanh(reading.logits_with(model, LAST, text.ids, x).double() / cap)
            * (x.double().pow(2).mean(-1, keepdim=True) + eps).sqrt()
        )

    got = uncapped(x + dictionary.W_dec[3]) - uncapped(x)
    table = reading.direct_effects(dictionary, model)[3]
    assert torch.allclose(got, table.double().expand_as(got), atol=2e-3 * float(table.abs().max()))


def test_logits_with_the_same_activations_are_the_models_own(model, text):
    x = reading.activations(model, HOOK, text.ids)
    assert torch.allclose(reading.logits_with(model, HOOK, text.ids, x), model(text.ids), atol=1e-4)


def test_gradients_against_finite_differences(model, text):
    x = reading.activations(model, HOOK, text.ids)
    last, token = torch.tensor([39, 20, 12, 39]), torch.tensor([50, 60, 70, 80])
    grad = reading.gradients(model, HOOK, text.ids, last, token)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(4)

    def chosen(step):
        return reading.logits_with(model, HOOK, text.ids, x + step * direction)[rows, last, token].double()

    slope = (chosen(1e-2) - chosen(-1e-2)) / 2e-2
    assert torch.allclose((grad * direction).sum((1, 2)).double(), slope, rtol=0.02, atol=0.02)
    assert grad[1, 21:].abs().max() == 0  # nothing after the position reaches its logit


def test_setting_a_latent_keeps_the_error(dictionary, text, model):
    x = reading.activations(model, HOOK, text.ids)
    z = dictionary.encode(x)
    changed = z.clone()
    changed[..., 7] = 2.5
    wanted = dictionary.decode(changed) + (x - dictionary.decode(z))
    assert torch.allclose(reading.with_latent(x, z, dictionary.W_dec, 7, 2.5), wanted, atol=1e-4)


def test_a_word_list_is_chosen_on_one_part_and_scored_on_the_other():
    ids = torch.tensor([0, 1, 2, 3] * 10)
    choose = torch.arange(40) < 20
    by_word = (ids == 1) | (ids == 3)  # two words, always
    by_place = torch.arange(40) % 8 == 0  # every other time that word 0 stands there
    turned = torch.where(choose, ids == 2, ids == 0)  # another word in each part
    never = torch.zeros(40, dtype=torch.bool)
    f1 = reading.word_list_f1(ids, torch.stack([by_word, by_place, turned, never], dim=1), choose)
    assert torch.allclose(f1, torch.tensor([1.0, 2 * 2 / (5 + 2), 0.0, 0.0]))


@pytest.mark.parametrize("hook", [HOOK, LAST])
def test_removing_a_latent_tells_the_last_stream_too(model, text, dictionary, hook):
    x = reading.activations(model, hook, text.ids)
    one = gemma_scope.Dictionary(
        dictionary.W_enc, dictionary.b_enc, dictionary.threshold, dictionary.W_dec, dictionary.b_dec, hook
    )
    places = torch.tensor([[0, 3], [2, 7]])
    before, after, x_0, x_1 = reading.removed(model, one, text.ids, x, 5, places)
    assert torch.allclose(x_0, reading.activations(model, LAST, text.ids)[[0, 2], [3, 7]], atol=1e-4)
    for logits, stream in ((before, x_0), (after, x_1)):
        linear = (stream * reading.final_gain(model)) @ reading.unembedding(model)
        undone = reading.without_norm_and_cap(model, logits, stream)
        assert torch.allclose(undone, linear, atol=1e-3 * float(linear.abs().max()))
    if hook == LAST:
        z = one.encode(x[[0, 2], [3, 7]])[:, 5]
        assert torch.allclose(x_0 - x_1, z[:, None] * one.W_dec[5], atol=1e-4)


def test_the_traps_are_labels_of_the_language(text):
    for pair in labelling.TRAPS.values():
        assert reading.where_labels_hold(text, list(pair)).shape[1] == 2

"""Both settings by the same calls: mini-gemma as shipped, and a small checkpoint in Gemma-2-2B's place."""

from __future__ import annotations

import pytest
import torch

from labs_src import models
from labs_src.language import corpus
from labs_src.patchscopes import chart, decoding, intervening, natural, relabelling, search, setting


@pytest.fixture(scope="module")
def mini():
    return models.load("mini-gemma")


def test_placeholder_is_the_last_mention(mini):
    ids, at = setting.placed(mini.tokenizer, "a list : a", "a")
    assert corpus.decode(ids) == ["<bos>", "a", "list", ":", "a"] and at == 4
    with pytest.raises(ValueError, match="no placeholder 'x'"):
        setting.placed(mini.tokenizer, "list : a", "x")
    with pytest.raises(ValueError, match="not one token"):
        setting.placed(mini.tokenizer, "list : a", ": a")
    with pytest.raises(ValueError, match="not one token"):
        setting.placed(mini.tokenizer, "the list", "is")


def test_the_dictionary_is_that_of_what_enters(mini):
    chosen = setting.SETTINGS["mini-gemma"]
    for inject, _, _ in chosen.pairs:
        dictionary = mini.dictionaries[chosen.dictionary(inject)]
        x = mini.model.run_with_cache(corpus.token_ids("validation", 4, 3))[1][f"blocks.{inject}.hook_resid_pre"][:, 1:]
        error = (x - dictionary.decode(dictionary.encode(x))).pow(2).sum() / (x - x.mean((0, 1))).pow(2).sum()
        assert error < 0.1
    assert chosen.dictionary(4, "width128") == "blocks.3.hook_resid_post/width128"
    assert setting.SETTINGS["gemma-2-2b"].dictionary(8) == "blocks.7.hook_resid_post"


def test_on_mini_gemma_the_plain_recipe_stalls_and_the_warm_start_does_not(mini):
    chosen, ids = setting.SETTINGS["mini-gemma"], corpus.token_ids("validation", 32, 21)
    work = chart.searcher(mini, chosen, ids)
    table = chart.chart([{"inject": 3, "layer": 3, "neurons": [41, 37, 238, 29], "steps": 40}], work, quiet=True)
    caught = table[table.false_optimum]
    assert 41 in caught.neuron.tolist() and (caught.plain < 0.5).all() and (table.warm > 1).all()


def test_gemma_by_the_same_calls(mini, tmp_path):
    """A checkpoint of 13 small layers behind the post's own setting: prompt, layers 8 and 11 into 12."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from labs_src.models import Loaded, hub

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(mini.tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=13,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8, sliding_window=4,
        attn_implementation="eager",
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    mini.tokenizer.save_pretrained(tmp_path)
    model, _ = hub._bridge(tmp_path, "bfloat16")  # as on the Gemma tier
    loaded = Loaded("gemma-2-2b", model, mini.tokenizer, {}, tmp_path)
    chosen, ids = setting.SETTINGS["gemma-2-2b"], corpus.token_ids("validation", 4, 3, length=16)
    assert [(i, t) for i, t, _ in chosen.pairs] == [(8, 12), (11, 12)]
    assert all(neurons == (8526,) for _, _, neurons in chosen.pairs)
    for inject, layer, _ in chosen.pairs:
        site = chosen.site(loaded, inject, "the x")  # the small language has not all words of the post's prompt
        mean = natural.mean_vector(model, site.hook, ids, torch.full((4,), 15))
        found = search.ascend(site, mean[None], [(layer, 7)], steps=5)
        assert found.value > found.trace[0] and found.vectors.dtype == torch.float32
        out = decoding.contrastive(chosen.site(loaded, inject, "the x is that"), found.vectors, mean, 1.5, n_tokens=2)
        assert out.shape == (1, 2)
    table = chart.chart(
        [{"inject": 8, "layer": 12, "neurons": [1, 2], "steps": 3}], chart.searcher(loaded, chosen, ids), quiet=True
    )
    assert len(table) == 2 and table.warm.notna().all()


def test_suppression_in_text(mini):
    dictionary = mini.dictionaries["blocks.2.hook_resid_post"]
    ids = corpus.token_ids("validation", 6, 33)
    claims = [relabelling.Claim(290, "role: var", 3, 41), relabelling.Claim(290, "role: var", 3, 37)]
    drops, maxima = relabelling.suppression(mini.model, dictionary, ids, claims, chunk=4)
    assert drops.shape == (*ids.shape, 2) and (drops[:, 0] == 0).all() and (maxima > 0).all()
    silent = int(
        (dictionary.encode(mini.model.run_with_cache(ids)[1]["blocks.3.hook_resid_pre"])[:, 1:] > 0)
        .sum((0, 1))
        .argmin()
    )
    nothing, _ = relabelling.suppression(mini.model, dictionary, ids, [relabelling.Claim(silent, "role: var", 3, 41)])
    assert nothing.abs().max() < 1e-4  # control: a latent that does not fire here
    name, _ = intervening.held_latent(dictionary, 290, 0.0)
    assert name == "blocks.2.hook_resid_post"

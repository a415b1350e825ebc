# SPDX-License-Identifier: GPL-3.0-or-later
"""A sentence to a plan: who is in the picture, where, and when. Imports no torch.

A plan (:mod:`.plan`) is a few boxes over time, bound to words of a prompt; the add-on makes keyframed empties
of it, which the artist edits. Two planners write it: one built in (:mod:`.grammar` reads a sentence,
:mod:`.choreography` gives each action its place and time), and any language model (:mod:`.language_model`)
behind an OpenAI-compatible endpoint (:mod:`.endpoint`, whose answers :mod:`.answers` reads). :mod:`.checks`
holds either to the sentence.
"""

"""SPIPS, the Scene Perceived Image Perceptual Score: conventional metrics and deep features, weighed by human answers.

Where PIM learns from video alone, SPIPS is fitted to people's scores. It compares two images in three ways:
conventional maps (PSNR, SSIM, MS-SSIM), a perceptual stream (fine detail: early layers of a classifier, or PIM's own
representation), and a semantic stream (content: late layers of a classifier). `pim_jax.spips.metric` is what one uses.

References:
  Lao, Yu: Scene perceived image perceptual score (SPIPS): combining global and local perception for image quality
    assessment. 2025, arXiv 2504.17234. Only its abstract and an outline of the method were at hand; docs/spips.md lists
    what was chosen where they are silent.
"""

"""PSNR, SSIM and drift on pairs of pictures."""

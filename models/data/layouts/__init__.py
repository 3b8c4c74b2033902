"""Where published deblurring sets keep their pairs, one file each; `registry` finds them.

| layout           | on disk, under the root                                                     |
|------------------|-----------------------------------------------------------------------------|
| gopro:blur       | `{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/NNNNNN.png`             |
| flat:input/target| `{train,test}/{input,target}/*`; also blur/sharp, blurry/sharp, input/GT and |
|                  | lq/gt in any case, with or without the split folder                         |
| dvd              | `quantitative_datasets/*/{input,GT}/*`                                      |
| kohler           | `[BlurryImages/]BlurryI_K.png` with `ImageI/KernelK/GroundTruthI_K_N.png`    |
| realblur         | `RealBlur_J_test_list.txt`: a line is `sharp_path blur_path [...]`          |

A repackaged Kohler set with other file names is not recognised: use `pair_folders`.
"""

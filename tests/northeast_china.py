"""Published statistics of Wang et al. (2026, Catena 110145): Table 4. Data for tests."""

from ensemble.mapping.northeast import AREAS, TABLE_1, TABLE_2

# Table 4: area (km2); mean (kg C m-2) and total (Tg C) by land use, for each model and the two averages.
TABLE_4 = {
    "H": {"farm": (7.63, 2370.63), "forest": (6.06, 2048.65), "grass": (6.68, 224.55), "other": (7.09, 766.28)},
    "E": {"farm": (8.76, 2724.39), "forest": (7.04, 2379.32), "grass": (7.82, 262.85), "other": (8.20, 886.34)},
    "mean": {"farm": (8.20, 2547.51), "forest": (6.55, 2213.99), "grass": (7.25, 243.70), "other": (7.65, 826.31)},
    "R2w": {"farm": (8.19, 2546.32), "forest": (6.55, 2212.88), "grass": (7.25, 243.57), "other": (7.64, 825.91)},
}
TOTALS = {"H": 5410.11, "E": 6252.90, "mean": 5831.50, "R2w": 5828.68}
R2 = (0.75, 0.74)

__all__ = ["AREAS", "R2", "TABLE_1", "TABLE_2", "TABLE_4", "TOTALS"]

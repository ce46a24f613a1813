"""Sample tables of real maps, made from the data sets in ../shared."""

import numpy as np
import pandas as pd


def raca_samples(folder, file):
    """RaCA pedons with a place: 0-30 cm stock (t C/ha), land use, region of the survey, longitude, latitude."""
    pedons = pd.read_csv(folder / "RaCA_SOC_pedons.csv")
    places = pd.read_csv(folder / "RaCa_general_location.csv").drop_duplicates("RaCA_Id")
    joined = pedons.merge(places, left_on="rcasiteid", right_on="RaCA_Id")
    joined = joined[joined["SOCstock30"] > 0].dropna(subset=["Gen_lat", "Gen_long", "LU", "MO"])
    table = pd.DataFrame(
        {
            "stock": joined["SOCstock30"].round(3),
            "longitude": joined["Gen_long"],
            "latitude": joined["Gen_lat"],
            "land_use": joined["LU"],
            "region": joined["MO"].astype(int),
        }
    )
    table.to_csv(file, index=False)
    return len(table)


def dsp4sh_samples(folder, file):
    """DSP4SH pedons that reach 30 cm without a gap: 0-30 cm stock (t C/ha), clay, climate, land use, place."""
    layers = pd.read_csv(folder / "dsp4sh_horizons_trimmed.csv")
    rows = []
    for _, pedon in layers.groupby("DSP_Pedon_ID"):
        pedon = pedon.sort_values("hrzdep_t")
        pedon = pedon[pedon["hrzdep_t"] < 30]
        if pedon.empty:
            continue
        bottoms = pedon["hrzdep_b"].clip(upper=30)
        thickness = bottoms - pedon["hrzdep_t"]
        gapless = (
            np.allclose(pedon["hrzdep_t"].iloc[1:], pedon["hrzdep_b"].iloc[:-1]) and pedon["hrzdep_t"].iloc[0] == 0
        )
        known = pedon[["SOC_pct", "Bulk_Density", "pedon_x", "pedon_y", "map_mm", "mat_C", "LU"]].notna().all().all()
        if not gapless or bottoms.iloc[-1] < 30 or not known:
            continue
        stones = pedon["Coarse_Frag_volume"].fillna(0) / 100
        stock = float((pedon["SOC_pct"] * pedon["Bulk_Density"] * thickness * (1 - stones)).sum())
        texture = pedon["Clay_pct"]
        clay = float((texture * thickness).sum() / 30) if texture.notna().all() else np.nan
        first = pedon.iloc[0]
        rows.append((stock, first.pedon_x, first.pedon_y, first.map_mm, first.mat_C, clay, first.LU, first.Project))
    table = pd.DataFrame(rows, columns=["stock", "longitude", "latitude", "MAP", "MAT", "clay", "land_use", "project"])
    table[table["clay"].notna()].round(4).to_csv(file, index=False)
    return len(table), int(table["clay"].notna().sum())

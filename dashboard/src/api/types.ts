/** Short names for what the API speaks. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type ActivityEntry = Schemas["ActivityEntry"];
export type Broker = Schemas["Broker"];
export type BrokerInput = Schemas["BrokerInput"];
export type ConfigAnswer = Schemas["ConfigAnswer"];
export type ConfigInput = Schemas["ConfigInput"];
export type ConfigWritten = Schemas["ConfigWritten"];
export type Effect = Schemas["Effect"];
export type Instance = Schemas["Instance"];
export type ApiToken = Schemas["ApiToken"];
export type ImportWritten = Schemas["ConfigurationImported"];
export type InstanceProgress = Schemas["InstanceProgress"];
export type Secret = Schemas["Secret"];
export type InstanceCounts = Schemas["InstanceCounts"];
export type Metrics = Schemas["Metrics"];
export type MqttConfig = Schemas["MqttConfig"];
export type Problem = Schemas["Problem"];
export type Product = Schemas["Product"];
export type ProductCreated = Schemas["ProductCreated"];
export type ProductStatus = Schemas["ProductStatus"];
export type Revision = Schemas["Revision"];
export type Role = Session["role"];
export type Rollout = Schemas["Rollout"];
export type Session = Schemas["Session"];
export type Subscription = Schemas["Subscription"];
export type TestInput = Schemas["TestInput"];
export type TestResult = Schemas["TestResult"];
export type Topics = Schemas["Topics"];
export type Warn = Schemas["Warn"];
export type FleetProduct = Schemas["FleetProduct"];
export type ProductState = FleetProduct["state"];
export type RolloutCounts = Schemas["RolloutCounts"];
export type InstanceChanged = Schemas["InstanceChanged"];
export type Transition = Schemas["Transition"];
export type StatusChanged = Schemas["StatusChanged"];
export type ConfigChanged = Schemas["ConfigChanged"];
export type ProductChanged = Schemas["ProductChanged"];
export type Ping = Schemas["Ping"];
